/* The host of a carrier that runs without a loop: a clock that stands still. */
#include "rpc/host.h"

int64_t host_now_ns(const struct host *host)
{
        (void)host;
        return 1000000000;
}
