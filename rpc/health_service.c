/*
 * grpc.health.v1: whether a service is served here. It needs no key, since probes have none, and touches no record, so
 * both methods are streams in our sense; Check is one of a single message each way.
 */
#include "grpc/health/v1/health.pb-c.h"
#include "rpc/call.h"
#include "rpc/services.h"

#define STATUS_FIELD 1 /* HealthCheckResponse.status */

enum status {
        STATUS_SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING,
        STATUS_NOT_SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING,
        STATUS_SERVICE_UNKNOWN = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN,
};

struct health {
        bool was_asked;
        bool is_known;
};

_Static_assert(sizeof(struct health) <= FEED_STATE_SIZE, "it lies in the feed");

static struct health *health_of(struct call *call)
{
        return (struct health *)call->feed.state;
}

/* "" is the server as a whole. */
static bool is_known(const struct call *call, const char *name)
{
        size_t i;

        if (name[0] == '\0') return true;
        for (i = 0; i < service_count; i++)
                if (strcmp(services[i]->name, name) == 0) return service_is_on(services[i], call->who.plane);
        return false;
}

static void send_status(struct call *call, enum status status)
{
        struct message message;

        feed_message(call, &message);
        message_uint(&message, STATUS_FIELD, status);
        feed_send(call, &message);
}

static enum status status_of(struct call *call)
{
        if (!health_of(call)->is_known) return STATUS_SERVICE_UNKNOWN;
        return call->host->is_draining ? STATUS_NOT_SERVING : STATUS_SERVING;
}

static void message(struct call *call, const ProtobufCMessage *request)
{
        struct health *health = health_of(call);

        if (health->was_asked) {
                feed_finish(call, fault_set(&call->fault, R_BAD_ARGUMENT, "The method takes one message."));
                return;
        }
        health->was_asked = true;
        health->is_known = is_known(call, ((const Grpc__Health__V1__HealthCheckRequest *)request)->service);
}

static bool refuse_nothing(struct call *call)
{
        if (health_of(call)->was_asked) return false;
        feed_finish(call, fault_set(&call->fault, R_BAD_ARGUMENT, "The request ended without a message."));
        return true;
}

static void check_end(struct call *call)
{
        if (refuse_nothing(call)) return;
        if (!health_of(call)->is_known) {
                feed_finish(call, fault_set(&call->fault, R_ABSENT, "There is no such service."));
                return;
        }
        send_status(call, status_of(call));
        feed_finish(call, R_OK);
}

/* It is answered as soon as the request ends. */
static void check_wake(struct call *call)
{
        (void)call;
}

/* The first status at once, the next one when it changes: that is when the server drains. */
static void watch_end(struct call *call)
{
        if (refuse_nothing(call)) return;
        send_status(call, status_of(call));
        if (call->host->is_draining) feed_finish(call, R_DRAINING);
}

static void watch_wake(struct call *call)
{
        if (health_of(call)->is_known) send_status(call, STATUS_NOT_SERVING);
        feed_finish(call, R_DRAINING);
}

static const struct feed_ops check = {.message = message, .end = check_end, .wake = check_wake};
static const struct feed_ops watch = {.message = message, .end = watch_end, .wake = watch_wake};

#define ROW(rpc)                                                                                                       \
        .path = "/grpc.health.v1.Health/" rpc, .kind = METHOD_STREAM,                                                  \
        .planes = PLANE_BIT(PLANE_PUBLIC) | PLANE_BIT(PLANE_ADMIN),                                                    \
        .request = &grpc__health__v1__health_check_request__descriptor,                                                \
        .response = &grpc__health__v1__health_check_response__descriptor

static const struct method methods[] = {
        {ROW("Check"), .feed = &check},
        {ROW("Watch"), .feed = &watch},
};

const struct service health_service = {"grpc.health.v1.Health", methods, sizeof methods / sizeof *methods};
