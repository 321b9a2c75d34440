#include "rpc/timer_heap.h"

#include "engine/require.h"

/*
 * The right spine of one heap is merged with the other: at each step the earlier root stays, its children change
 * places, and what is left is merged into the new left one. Changing places is what keeps the heap in shape.
 */
static struct host_timer *merge(struct host_timer *a, struct host_timer *b)
{
        struct host_timer *root = NULL;
        struct host_timer **link = &root;
        struct host_timer *parent = NULL;

        while (a != NULL && b != NULL) {
                struct host_timer *later = b;
                struct host_timer *rest;

                if (b->due_ns < a->due_ns) {
                        later = a;
                        a = b;
                }
                *link = a;
                a->parent = parent;
                parent = a;
                rest = a->right;
                a->right = a->left;
                link = &a->left;
                a = rest;
                b = later;
        }
        *link = a != NULL ? a : b;
        if (*link != NULL) (*link)->parent = parent;
        return root;
}

void timer_heap_add(struct timer_heap *heap, struct host_timer *timer)
{
        REQUIRE(!timer->is_set);
        timer->left = timer->right = timer->parent = NULL;
        timer->is_set = true;
        heap->root = merge(heap->root, timer);
}

void timer_heap_remove(struct timer_heap *heap, struct host_timer *timer)
{
        struct host_timer *rest;

        if (!timer->is_set) return;
        rest = merge(timer->left, timer->right);
        if (rest != NULL) rest->parent = timer->parent;
        if (timer->parent == NULL) {
                REQUIRE(heap->root == timer);
                heap->root = rest;
        } else if (timer->parent->left == timer) {
                timer->parent->left = rest;
        } else {
                REQUIRE(timer->parent->right == timer);
                timer->parent->right = rest;
        }
        timer->left = timer->right = timer->parent = NULL;
        timer->is_set = false;
}
