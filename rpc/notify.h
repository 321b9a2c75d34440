/*
 * Words to the service manager that started this process: a datagram to the socket that $NOTIFY_SOCKET names, as
 * sd_notify(3) documents it. Without one nothing happens.
 */
#ifndef ALLOD_RPC_NOTIFY_H
#define ALLOD_RPC_NOTIFY_H

/* "READY=1"; several lines are parted by "\n". Does not block. */
void notify(const char *words);

/* "RELOADING=1", with the time that it has to carry. */
void notify_reloading(void);

#endif
