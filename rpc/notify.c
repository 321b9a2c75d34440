#include "rpc/notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* "/run/systemd/notify", or "@name" for a name without a file. */
static socklen_t take_name(const char *text, struct sockaddr_un *out)
{
        size_t len = strlen(text);

        *out = (struct sockaddr_un){.sun_family = AF_UNIX};
        if ((text[0] != '/' && text[0] != '@') || len >= sizeof out->sun_path) return 0;
        memcpy(out->sun_path, text, len);
        if (text[0] == '@') out->sun_path[0] = '\0';
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

void notify(const char *words)
{
        const char *text = getenv("NOTIFY_SOCKET");
        struct sockaddr_un name;
        socklen_t len = text == NULL ? 0 : take_name(text, &name);
        int fd;

        if (len == 0) return;
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) return;
        /* Lost words are the manager's to miss: it has a time-out for each. */
        sendto(fd, words, strlen(words), MSG_NOSIGNAL, (const struct sockaddr *)&name, len);
        close(fd);
}

void notify_reloading(void)
{
        struct timespec now;
        char words[80];

        clock_gettime(CLOCK_MONOTONIC, &now);
        snprintf(words, sizeof words, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
                 (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
        notify(words);
}
