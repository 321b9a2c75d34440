#!/usr/bin/python3
"""The second client: calls from 127.0.0.2, one after another, while somebody else attacks. Every tenth is a write, and
every twentieth comes on a connection of its own. Each line on standard input is answered by one of JSON about the calls
since the last: how many, those that failed, and quantiles of their latency in milliseconds.

    neighbour.py PORT TLS(0|1) KEY APP ONE_CONNECTION(0|1)
"""

import http.client
import json
import ssl
import sys
import threading
import time

ADDRESS = "127.0.0.2"
BOUND_SECONDS = 30  # a call that takes longer hangs
PAUSE_SECONDS = 0.002


class Neighbour:
    def __init__(self, port, is_encrypted, key, app, has_one_connection):
        self.has_one_connection = has_one_connection
        self.port = port
        self.context = ssl._create_unverified_context() if is_encrypted else None
        self.headers = {"x-api-key": key, "content-type": "application/json"}
        self.path = f"/app/{app}"
        self.lock = threading.Lock()
        self.connection = None
        self.clear()

    def clear(self):
        self.times = []
        self.failures = []

    def open(self):
        options = {"timeout": BOUND_SECONDS, "source_address": (ADDRESS, 0)}
        if self.context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, **options)
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, **options)

    def call(self, n):
        if n % 20 == 0 and self.connection is not None and not self.has_one_connection:
            self.connection.close()
            self.connection = None
        if self.connection is None:
            self.connection = self.open()
        body = json.dumps({"description": f"change {n}"}) if n % 10 == 5 else None
        self.connection.request("PUT" if body else "GET", self.path, body=body, headers=self.headers)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.will_close:
            self.connection.close()
            self.connection = None
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {content[:200]!r}")

    def run(self):
        n = 0
        while True:
            started = time.monotonic()
            failure = None
            try:
                self.call(n)
            except Exception as error:  # told to whoever asks
                failure = f"call {n}: {error!r}"
                if self.connection is not None:
                    self.connection.close()
                self.connection = None
            with self.lock:
                self.times.append(time.monotonic() - started)
                if failure:
                    self.failures.append(failure)
            n += 1
            time.sleep(PAUSE_SECONDS)

    def report(self):
        with self.lock:
            times, failures = sorted(self.times), self.failures
            self.clear()

        def quantile(part):
            return round(times[min(len(times) - 1, int(len(times) * part))] * 1000, 2) if times else None
        return {"calls": len(times), "failures": failures[:5], "failed": len(failures), "p50": quantile(0.5), "p99": quantile(0.99),
                "max": quantile(1)}


def main():
    port, is_encrypted, key, app, has_one_connection = sys.argv[1:]
    neighbour = Neighbour(int(port), is_encrypted == "1", key, app, has_one_connection == "1")
    threading.Thread(target=neighbour.run, daemon=True).start()
    for _ in sys.stdin:
        print(json.dumps(neighbour.report()), flush=True)


main()
