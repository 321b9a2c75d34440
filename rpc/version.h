/* The version of this tree. */
#ifndef ALLOD_RPC_VERSION_H
#define ALLOD_RPC_VERSION_H

#define ALLOD_VERSION "0.1.0"

#endif
