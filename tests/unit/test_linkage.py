"""Who may call and include what: the architecture, read from object files and depfiles of the build under test.

Isolation hangs on it. Only what the compiler produced counts, so that a macro or a header in between hides nothing. Each
rule is a function of what it looks at, and has a test with a planted violation: a rule that finds nothing must be able to.
"""

import glob
import os
import re
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("ALLOD_BUILD", os.path.join(ROOT, "build"))
FOLDERS = ["engine", "rpc", "tools"]

# Files that may look inside; the headers' comments say why.
PRIVATE_HEADERS = {
    "engine/backend_private.h": {"backend", "lmdb"},
    "engine/caller_private.h": {"caller", "scope_open", "txn"},
    "engine/restore_owner_private.h": {"restore_owner", "restore_put"},
    "engine/scope_private.h": {"scope", "scope_open", "scan", "page_token", "caller", "chore", "purge"},
    "engine/store_private.h": {"store", "store_make", "writer", "batch", "txn", "page_token", "caller", "chore", "purge"},
    "engine/txn_private.h": {"txn", "scope", "scope_open", "scan", "page_token", "caller", "writer", "batch", "chore",
                             "purge", "verify", "verify_changes", "verify_rows"},
    "engine/verify_private.h": {"verify", "verify_changes", "verify_rows"},
    "engine/writer_private.h": {"writer", "batch"},
}

# Only what wires a transaction or a store, and the scopes and scans in it, may name a row of the store by its bytes.
BACKEND_CALLERS = {"backend", "lmdb", "scope", "scan", "txn", "store", "store_make", "verify",
                   "verify_changes", "verify_rows"}
# What opens no transaction: the version for --version.
BACKEND_HARMLESS = {"backend_version"}

# Below scopes: for these the files that use them are the house of transactions itself.
DOORS = {
    "txn_get": {"scope", "caller", "purge"},
    "txn_put": {"scope", "writer", "purge"},
    "txn_delete": {"scope", "writer", "purge"},
    "txn_cursor": {"scope", "scan"},
    "txn_first": {"purge"},
    "txn_run": {"batch"},
    "txn_begin": {"batch"},
    "txn_commit": {"batch"},
    "caller_resolve": {"scope_open"},
    "scope_seek": {"scope_open", "purge"},
    "scope_seek_from": {"scope_open"},
    "scope_new": {"scope_open"},
    "scope_identity_get": {"caller", "scope_open"},
    "scope_system": {"chore"},
}

# An engine neither ends the process nor talks. What is broken for good has its last words on standard error and aborts:
# our own invariants through require.c, LMDB's through lmdb.c.
SILENT = re.compile(r"^(_exit|_Exit|exit|quick_exit|abort|v?[fd]?printf|__v?[fd]?printf_chk|puts|fputs|putchar|fputc|putc"
                    r"|fwrite|perror|v?syslog|__v?syslog_chk|v?warnx?|v?errx?|stdout|stderr)$")
LAST_WORDS = {"require", "lmdb"}
LAST_WORDS_SYMBOLS = {"fprintf", "__fprintf_chk", "fwrite", "stderr", "abort"}

# System libraries, by header, and the only objects that may include it.
LIBRARIES = {
    "lmdb.h": {"engine/lmdb"},
    "nghttp2/nghttp2.h": {"rpc/h2", "rpc/h2_stream", "rpc/client"},
    "llhttp.h": {"rpc/h1"},
    "openssl/ssl.h": {"rpc/tls", "rpc/tls_context", "rpc/tls_tickets"},
    "zstd.h": {"engine/dump_frame"},
}


# What opens a connection. The client is the tools' own; a listener asks whether its socket's file is still served.
CALLS_OUT = re.compile(r"^(connect|getaddrinfo|gethostbyname\w*|uv_tcp_connect|uv_pipe_connect\d?|uv_getaddrinfo)$")
CALLERS_OUT = {"rpc/client", "rpc/listen"}


def sources(folder):
    return sorted(os.path.basename(path)[:-2] for path in glob.glob(f"{ROOT}/{folder}/*.[cS]"))


def imports(path):
    """Symbols that an object file needs from elsewhere."""
    listing = subprocess.run(["nm", "--undefined-only", "--format=posix", path], check=True, capture_output=True,
                             text=True).stdout
    return {line.split()[0].split("@")[0] for line in listing.splitlines()}


def dependencies(path):
    """The files that a compilation read, those of the tree relative to it."""
    with open(path) as file:
        words = file.read().replace("\\\n", " ").partition(":")[2].split()
    return {os.path.relpath(word, ROOT) if os.path.isabs(word) and word.startswith(ROOT) else os.path.normpath(word)
            for word in words}


@pytest.fixture(scope="module")
def objects():
    """(folder, name) -> symbols it imports."""
    return {(folder, name): imports(f"{BUILD}/{folder}/{name}.o")
            for folder in FOLDERS for name in listed(folder)}


@pytest.fixture(scope="module")
def includes():
    """(folder, name) -> files that its compilation read."""
    return {(folder, name): dependencies(f"{BUILD}/{folder}/{name}.o.d")
            for folder in FOLDERS for name in listed(folder)}


def listed(folder):
    """The objects that the build lists for a folder."""
    with open(f"{ROOT}/{folder}/{folder}.ninja") as file:
        return set(re.findall(rf"^build \$dir/{folder}/(\w+)\.o:", file.read(), re.M))


# ---- The rules: each returns its violations. ----

def outsiders(objects, pattern, allowed, harmless=frozenset()):
    """Objects that import a symbol of the pattern and are not allowed to. `allowed` are names of engine/."""
    return sorted(f"{folder}/{name} imports {symbol}" for (folder, name),
                  symbols in objects.items() for symbol in symbols
                  if re.match(pattern, symbol) and symbol not in harmless
                  and not (folder == "engine" and name in allowed))


def constructors():
    """The table of scope.h: constructor -> who may import it."""
    with open(f"{ROOT}/engine/scope.h") as file:
        comment = file.read().partition("*/\n#ifndef")[0]
    table = {}
    for line in comment.splitlines():
        row = re.match(r"^ \*      (scope_\w+)  +.*?  +([a-z_ ]+)$", line)
        if row:
            table[row.group(1)] = set(row.group(2).split())
    return table


def declared_constructors():
    """Functions of scope.h that give a scope to whoever calls them."""
    with open(f"{ROOT}/engine/scope.h") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    return set(re.findall(r"enum result (scope_\w+)\([^;]*const struct scope \*\*", text))


def peepers(includes, header, allowed):
    return sorted(f"{folder}/{name} includes {header}" for (folder, name), files in includes.items()
                  if header in files and not (folder == "engine" and name in allowed))


def arrows_up(includes):
    """engine includes nothing of rpc and tools, rpc nothing of tools; what is private to engine stays there."""
    wrong = []
    for (folder, name), files in includes.items():
        above = FOLDERS[FOLDERS.index(folder) + 1:]
        wrong += [f"{folder}/{name} includes {path}" for path in files if path.split("/")[0] in above]
        if folder != "engine":
            wrong += [f"{folder}/{name} includes {path}" for path in files if re.match(r"engine/\w+_private\.h", path)]
    return sorted(wrong)


def loud(objects):
    return sorted(f"{name} imports {symbol}" for (folder, name), symbols in objects.items() if folder == "engine"
                  for symbol in symbols if SILENT.match(symbol)
                  and not (name in LAST_WORDS and symbol in LAST_WORDS_SYMBOLS))


def header_graph():
    graph = {}
    for folder in FOLDERS:
        for path in glob.glob(f"{ROOT}/{folder}/*.h"):
            with open(path) as file:
                graph[os.path.relpath(path, ROOT)] = re.findall(r'^\s*#\s*include\s+"([^"]+)"', file.read(), re.M)
    return graph


def circle(graph):
    """A circle of a graph as a list of nodes, or None."""
    done, path = set(), []

    def visit(node):
        if node in path:
            return path[path.index(node):] + [node]
        if node in done or node not in graph:
            return None
        path.append(node)
        for other in graph[node]:
            found = visit(other)
            if found:
                return found
        done.add(path.pop())
        return None

    for node in graph:
        found = visit(node)
        if found:
            return found
    return None


# ---- The build keeps them. ----

@pytest.mark.parametrize("folder", FOLDERS)
def test_every_source_is_built(folder):
    """A source that the build does not list would escape every other test here."""
    assert set(sources(folder)) == listed(folder)


@pytest.mark.parametrize("folder", FOLDERS)
def test_objects_are_there(objects, folder):
    assert [name for where, name in objects if where == folder]


def test_only_lmdb_calls_lmdb(objects):
    assert "mdb_put" in objects["engine", "lmdb"]
    assert outsiders(objects, r"mdb_", {"lmdb"}) == []


def test_only_backend_knows_the_engines(objects):
    assert "lmdb_engine" in objects["engine", "backend"]
    assert outsiders(objects, r"lmdb_", {"backend", "lmdb"}) == []


def test_only_the_house_of_transactions_calls_the_backend(objects):
    assert "backend_get" in objects["engine", "txn"]
    assert outsiders(objects, r"backend_", BACKEND_CALLERS, BACKEND_HARMLESS) == []


def test_table_of_constructors_is_whole():
    """The table in scope.h has every function that makes a scope; what changes a table row has to be seen there."""
    table = constructors()
    assert "scope_open" in table and "app" in table["scope_open"]
    assert declared_constructors() == set(table)


@pytest.mark.parametrize("constructor", sorted(constructors()))
def test_constructor_is_imported_only_as_the_table_says(objects, constructor):
    assert outsiders(objects, rf"{constructor}$", constructors()[constructor]) == []


@pytest.mark.parametrize("symbol", sorted(DOORS))
def test_door_below_scopes(objects, symbol):
    assert outsiders(objects, rf"{symbol}$", DOORS[symbol]) == []


def test_every_private_header_is_known():
    found = {os.path.relpath(path, ROOT) for folder in FOLDERS for path in glob.glob(f"{ROOT}/{folder}/*_private.h")}
    assert found == set(PRIVATE_HEADERS)


@pytest.mark.parametrize("header", sorted(PRIVATE_HEADERS))
def test_private_header(includes, header):
    assert [name for (_, name), files in includes.items() if header in files], "nobody includes it"
    assert peepers(includes, header, PRIVATE_HEADERS[header]) == []


def test_arrows_never_run_up(includes):
    assert arrows_up(includes) == []


@pytest.mark.parametrize("header", sorted(LIBRARIES))
def test_library_is_known_in_one_place(includes, header):
    users = {f"{folder}/{name}" for (folder, name), files in includes.items()
             if any(path.endswith(f"include/{header}") for path in files)}
    assert users <= LIBRARIES[header]


def test_engine_is_silent_and_never_exits(objects):
    assert loud(objects) == []


def test_headers_form_no_circle():
    assert len(header_graph()) > 20
    assert circle(header_graph()) is None


# ---- The rules find what they look for. ----

def test_planted_import_is_found(objects):
    planted = {**objects, ("engine", "app"): {"mdb_get"}, ("rpc", "grpc"): {"backend_get", "scope_open"}}
    assert outsiders(planted, r"mdb_", {"lmdb"}) == ["engine/app imports mdb_get"]
    assert "rpc/grpc imports backend_get" in outsiders(planted, r"backend_", BACKEND_CALLERS, BACKEND_HARMLESS)
    assert outsiders(planted, r"scope_open$", constructors()["scope_open"]) == ["rpc/grpc imports scope_open"]


def test_planted_include_is_found(includes):
    planted = {**includes, ("engine", "app"): {"rpc/call.h", "engine/scope_private.h"},
               ("rpc", "grpc"): {"engine/txn_private.h"}}
    assert "engine/app includes engine/scope_private.h" in peepers(planted, "engine/scope_private.h",
                                                                  PRIVATE_HEADERS["engine/scope_private.h"])
    assert {"engine/app includes rpc/call.h", "rpc/grpc includes engine/txn_private.h"} <= set(arrows_up(planted))


@pytest.mark.parametrize("symbol", ["exit", "_exit", "printf", "fprintf", "__fprintf_chk", "__printf_chk", "fwrite",
                                    "puts", "stderr",
                                    "syslog", "__syslog_chk", "abort"])
def test_planted_noise_is_found(symbol):
    assert loud({("engine", "app"): {symbol}}) == [f"app imports {symbol}"]


def test_snprintf_is_no_noise():
    assert loud({("engine", "app"): {"snprintf", "__snprintf_chk", "vsnprintf"}}) == []


def test_planted_circle_is_found():
    assert circle({"a.h": ["b.h"], "b.h": ["c.h"], "c.h": ["a.h"]}) == ["a.h", "b.h", "c.h", "a.h"]


def test_compiled_violation_is_found(tmp_path):
    """From C text to verdict: what the compiler writes is what the rules read."""
    source = tmp_path / "rogue.c"
    source.write_text('#include "engine/scope_private.h"\n#include <stdio.h>\n'
                      "enum result rogue(struct txn *t, struct bytes k, struct bytes *v);\n"
                      'enum result rogue(struct txn *t, struct bytes k, struct bytes *v) { puts("x"); return txn_get(t, 0, k, v); }\n')
    generated = os.path.join(ROOT, "build", "gen")
    subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-D_GNU_SOURCE", f"-I{ROOT}", "-isystem", generated,
                    "-MD", "-MF",
                    tmp_path / "rogue.o.d", "-c", "-o", tmp_path / "rogue.o", source], check=True, timeout=60)
    symbols = {("engine", "rogue"): imports(tmp_path / "rogue.o")}
    files = {("engine", "rogue"): dependencies(tmp_path / "rogue.o.d")}
    assert outsiders(symbols, r"txn_get$", DOORS["txn_get"]) == ["engine/rogue imports txn_get"]
    assert loud(symbols) == ["rogue imports puts"]
    assert peepers(files, "engine/scope_private.h", PRIVATE_HEADERS["engine/scope_private.h"]) == \
        ["engine/rogue includes engine/scope_private.h"]


def test_server_calls_nobody():
    """No object of the server opens a connection or uses what does: no URL of a record is ever fetched."""
    objects = {f"{folder}/{name}" for folder in ("engine", "rpc") for name in sources(folder)}
    calling = {name for name in objects if any(CALLS_OUT.match(symbol) for symbol in imports(f"{BUILD}/{name}.o"))}
    assert calling == CALLERS_OUT
    using = {name for name in objects - {"rpc/client"} if any(symbol.startswith("client_") for symbol in imports(f"{BUILD}/{name}.o"))}
    assert using == set()
