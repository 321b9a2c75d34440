/*
 * The tables of methods, one for each service, and how their rows are written.
 */
#ifndef ALLOD_RPC_SERVICES_H
#define ALLOD_RPC_SERVICES_H

#include "rpc/method.h"

extern const struct service app_service;
extern const struct service job_service;
extern const struct service team_service;
extern const struct service key_service;
extern const struct service admin_service;
extern const struct service health_service;
extern const struct service reflection_service;
extern const struct service reflection_alpha_service;

/* Engine functions take their own request type. These pairs give them the one type that a table can hold. */
#define METHOD_FUNCTIONS(name, Request)                                                                                \
        static enum result name##_check_any(const ProtobufCMessage *request, struct fault *fault)                      \
        {                                                                                                              \
                return name##_check((const Request *)request, fault);                                                  \
        }                                                                                                              \
                                                                                                                       \
        static enum result name##_run_any(struct txn *txn, const struct credential *who,                               \
                                          const ProtobufCMessage *request, struct message *reply)                      \
        {                                                                                                              \
                return name(txn, who, (const Request *)request, reply);                                                \
        }

/* The parts of a row that its engine function and its types give. */
#define METHOD_ROW(method_path, function, request_type, response_type)                                                 \
        .path = (method_path), .check = function##_check_any, .run = function##_run_any,                               \
        .request = &request_type##__descriptor, .response = &response_type##__descriptor

#endif
