#include "tests/lib/lmdb_fault.h"

#include <lmdb.h>
#include <stdatomic.h>
#include <stddef.h>

enum function {
        FUNCTION_NONE,
        ENV_CREATE,
        ENV_SET_MAPSIZE,
        ENV_SET_MAXREADERS,
        ENV_SET_MAXDBS,
        ENV_SET_ASSERT,
        ENV_OPEN,
        ENV_INFO,
        ENV_STAT,
        ENV_GET_FD,
        TXN_BEGIN,
        TXN_COMMIT,
        TXN_RENEW,
        DBI_OPEN,
        DBI_FLAGS,
        READER_CHECK,
        GET,
        PUT,
        DEL,
        CURSOR_OPEN,
        CURSOR_RENEW,
        CURSOR_GET,
        STAT,
};

static atomic_ulong fail_at;
static atomic_ulong count;
static atomic_int failing_code;
static atomic_bool is_lasting_now;
static atomic_int lasting; /* the function that fails from now on */
static MDB_txn *_Atomic spoilt;

void lmdb_fault_at(unsigned long n, int code, bool is_lasting)
{
        atomic_store(&fail_at, 0);
        atomic_store(&lasting, FUNCTION_NONE);
        atomic_store(&failing_code, code);
        atomic_store(&is_lasting_now, is_lasting);
        atomic_store(&count, 0);
        atomic_store(&fail_at, n);
}

unsigned long lmdb_fault_count(void)
{
        return atomic_load(&count);
}

/* 0: the call is to be made. */
static int fault_of(enum function function)
{
        bool is_begin = function == TXN_BEGIN || function == TXN_RENEW;

        if (atomic_load(&failing_code) == MDB_READERS_FULL && !is_begin) return 0;
        if (atomic_fetch_add(&count, 1) + 1 == atomic_load(&fail_at)) {
                if (atomic_load(&is_lasting_now)) atomic_store(&lasting, (int)function);
                return atomic_load(&failing_code);
        }
        return atomic_load(&lasting) == (int)function ? atomic_load(&failing_code) : 0;
}

/* The names are the linker's: --wrap=mdb_get turns calls of mdb_get into __wrap_mdb_get, and __real_mdb_get is mdb_get.
 * NOLINTBEGIN(bugprone-reserved-identifier) */
#define WRAP(function, name, parameters, arguments)                                                                    \
        int __real_##name parameters;                                                                                  \
        int __wrap_##name parameters;                                                                                  \
        int __wrap_##name parameters                                                                                   \
        {                                                                                                              \
                int code = fault_of(function);                                                                         \
                                                                                                                       \
                return code != 0 ? code : __real_##name arguments;                                                     \
        }

WRAP(ENV_CREATE, mdb_env_create, (MDB_env * *env), (env))
WRAP(ENV_SET_MAPSIZE, mdb_env_set_mapsize, (MDB_env * env, size_t size), (env, size))
WRAP(ENV_SET_MAXREADERS, mdb_env_set_maxreaders, (MDB_env * env, unsigned readers), (env, readers))
WRAP(ENV_SET_MAXDBS, mdb_env_set_maxdbs, (MDB_env * env, MDB_dbi dbs), (env, dbs))
WRAP(ENV_SET_ASSERT, mdb_env_set_assert, (MDB_env * env, MDB_assert_func *func), (env, func))
WRAP(ENV_OPEN, mdb_env_open, (MDB_env * env, const char *path, unsigned flags, mdb_mode_t mode),
     (env, path, flags, mode))
WRAP(ENV_INFO, mdb_env_info, (MDB_env * env, MDB_envinfo *info), (env, info))
WRAP(ENV_STAT, mdb_env_stat, (MDB_env * env, MDB_stat *stat), (env, stat))
WRAP(ENV_GET_FD, mdb_env_get_fd, (MDB_env * env, mdb_filehandle_t *fd), (env, fd))
WRAP(TXN_BEGIN, mdb_txn_begin, (MDB_env * env, MDB_txn *parent, unsigned flags, MDB_txn **txn),
     (env, parent, flags, txn))
WRAP(TXN_RENEW, mdb_txn_renew, (MDB_txn * txn), (txn))
WRAP(DBI_OPEN, mdb_dbi_open, (MDB_txn * txn, const char *name, unsigned flags, MDB_dbi *dbi), (txn, name, flags, dbi))
WRAP(DBI_FLAGS, mdb_dbi_flags, (MDB_txn * txn, MDB_dbi dbi, unsigned *flags), (txn, dbi, flags))
WRAP(READER_CHECK, mdb_reader_check, (MDB_env * env, int *dead), (env, dead))
WRAP(GET, mdb_get, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *data), (txn, dbi, key, data))
WRAP(CURSOR_OPEN, mdb_cursor_open, (MDB_txn * txn, MDB_dbi dbi, MDB_cursor **cursor), (txn, dbi, cursor))
WRAP(CURSOR_RENEW, mdb_cursor_renew, (MDB_txn * txn, MDB_cursor *cursor), (txn, cursor))
WRAP(CURSOR_GET, mdb_cursor_get, (MDB_cursor * cursor, MDB_val *key, MDB_val *data, MDB_cursor_op op),
     (cursor, key, data, op))
WRAP(STAT, mdb_stat, (MDB_txn * txn, MDB_dbi dbi, MDB_stat *stat), (txn, dbi, stat))

int __real_mdb_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data, unsigned flags);
int __real_mdb_del(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data);
int __real_mdb_txn_commit(MDB_txn *txn);
void __real_mdb_txn_abort(MDB_txn *txn);
int __wrap_mdb_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data, unsigned flags);
int __wrap_mdb_del(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data);
int __wrap_mdb_txn_commit(MDB_txn *txn);
void __wrap_mdb_txn_abort(MDB_txn *txn);

/* 0: the write is to be made. */
static int write_fault(enum function function, MDB_txn *txn)
{
        int code = fault_of(function);

        if (atomic_load(&spoilt) == txn) return MDB_BAD_TXN;
        if (code != 0) atomic_store(&spoilt, txn);
        return code;
}

int __wrap_mdb_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data, unsigned flags)
{
        int code = write_fault(PUT, txn);

        return code != 0 ? code : __real_mdb_put(txn, dbi, key, data, flags);
}

int __wrap_mdb_del(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data)
{
        int code = write_fault(DEL, txn);

        return code != 0 ? code : __real_mdb_del(txn, dbi, key, data);
}

int __wrap_mdb_txn_commit(MDB_txn *txn)
{
        int code = fault_of(TXN_COMMIT);

        if (atomic_load(&spoilt) == txn) code = MDB_BAD_TXN;
        if (code == 0) return __real_mdb_txn_commit(txn);
        __wrap_mdb_txn_abort(txn);
        return code;
}

void __wrap_mdb_txn_abort(MDB_txn *txn)
{
        MDB_txn *expected = txn;

        atomic_compare_exchange_strong(&spoilt, &expected, NULL);
        __real_mdb_txn_abort(txn);
}

/* NOLINTEND(bugprone-reserved-identifier) */
