#include "rpc/local.h"

#include "rpc/wire.h"

enum result local_open(struct store *store, struct local *local)
{
        struct view *view;
        enum result r;

        if ((r = view_open(store, &view)) != R_OK) return r;
        *local = (struct local){store, view};
        return R_OK;
}

void local_close(struct local *local)
{
        if (local->view != NULL) view_close(local->view);
        *local = (struct local){0};
}

/* Out and in again, so that nothing gets past the checks of the wire. */
static enum result decode(const struct method *method, const ProtobufCMessage *request, struct arena *arena,
                          struct fault *fault, ProtobufCMessage **out)
{
        struct message encoded;
        enum result r;

        message_init(&encoded, arena, protobuf_c_message_get_packed_size(request));
        message_pack(&encoded, request);
        if ((r = message_finish(&encoded)) != R_OK) return r;
        switch (wire_unpack(arena, method->request, message_so_far(&encoded), out, fault)) {
        case WIRE_OK:
                return method->check(*out, fault);
        case WIRE_TOO_LARGE:
                return R_TOO_LARGE;
        case WIRE_NO_MEMORY:
                return R_NO_MEMORY;
        case WIRE_MALFORMED:
        case WIRE_BAD_ARGUMENT:
                break;
        }
        return R_BAD_ARGUMENT;
}

static enum result run(struct local *local, const struct method *method, const struct txn_input *input,
                       struct invocation *invocation)
{
        enum result r;

        if (method->kind != METHOD_VIEW)
                return writer_run(store_writer(local->store), input, invocation_run, invocation);
        view_expire(local->view);
        r = view_run(local->view, input, invocation_run, invocation);
        view_rest(local->view);
        return r;
}

enum result local_call(struct local *local, const struct method *method, const struct credential *who,
                       const ProtobufCMessage *request, struct arena *arena, struct fault *fault,
                       ProtobufCMessage **reply)
{
        struct invocation invocation = {.method = method, .who = who};
        struct txn_input input;
        ProtobufCMessage *decoded;
        enum result r;

        fault_clear(fault);
        if (method->kind == METHOD_STREAM || (method->planes & PLANE_BIT(who->plane)) == 0) return R_UNIMPLEMENTED;
        if ((r = decode(method, request, arena, fault, &decoded)) != R_OK) return r;
        invocation.request = decoded;
        if ((r = invocation_prepare(method, local->store, arena, fault, &input)) != R_OK) return r;
        if ((r = run(local, method, &input, &invocation)) != R_OK) return r;
        if (method->complete != NULL) method->complete(NULL, &invocation.reply);
        if ((r = message_finish(&invocation.reply)) != R_OK) return r;
        return message_unpack(arena, method->response, message_so_far(&invocation.reply), reply);
}
