"""What the service adds to the model: latency of one text, and throughput of many clients, over loopback.

Usage: python3 benches/http_load.py [--binary PATH] [--model embedded] [--requests 200] [--clients 64] [--seconds 20] [--json FILE] [-- SERVE FLAGS]
Starts `highwater serve` on a free port and stops it at the end. Needs only Python's standard library.
  start     from the process's start until /health/ready answers 200
  latency   one 100-word text, one kept-alive connection, median and p95; against the model's own time in the same answers
            (`server-timing: model;dur=MS`) or, without that header, `highwater score --batch-tokens 1` per document
  load      documents/s of that many kept-alive clients with distinct texts; against `highwater score` on the same texts
The client runs on the same cores as the service and takes its share: the ratios are what a user of this machine gets at least.
"""
import argparse
import asyncio
import http.client
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from statistics import median, quantiles

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
SENTENCES = [
    "I bought this for my sister last year and she still uses it every day.",
    "Honestly the second season was much better than people say it was.",
    "Has anyone else had trouble with the new update, or is it only my machine?",
    "We waited for almost an hour and in the end they told us that the kitchen had closed.",
    "The council has said again and again that the road would be mended before winter.",
    "My grandfather used to grow tomatoes there, right behind the old railway station.",
    "You are missing the point: nobody asked for this, and nobody is going to pay for it.",
    "Thanks for the quick answer, that solved it after I had restarted the router twice.",
    "If the price stays where it is now, I would rather wait until the spring.",
    "There is a small shop on the corner that sells the best bread in the whole town.",
]


def post(number, words=100):
    """A text of that many words, different for every number."""
    rng, found = random.Random(number), [f"Post {number}."]
    while sum(s.count(" ") + 1 for s in found) < words:
        found.append(rng.choice(SENTENCES))
    return " ".join(" ".join(found).split(" ")[:words])


class Service:
    """`highwater serve` on a free port, ready; stopped by SIGTERM on leaving."""

    def __init__(self, args):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.log = tempfile.TemporaryFile()
        command = [args.binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--model", args.model, *args.flags]
        began = time.perf_counter()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        while not self.ready():
            if self.process.poll() is not None or time.perf_counter() - began > 120:
                self.__exit__()
                self.log.seek(0)
                sys.exit(f"{' '.join(command)} was not ready:\n{self.log.read().decode(errors='replace')[-2000:]}")
            time.sleep(0.01)
        self.start_s = time.perf_counter() - began

    def ready(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def model_ms(headers):
    """Milliseconds of the model in a `server-timing` header; None where it says nothing of it."""
    found = re.search(r"\bmodel;(?:[^,]*;)?\s*dur=([\d.]+)", headers.get("server-timing") or "")
    return float(found[1]) if found else None


def latency(port, requests):
    """(milliseconds of each request, milliseconds of the model in each that says it)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body, whole, model = json.dumps({"text": post(0)}), [], []
    for number in range(requests + 10):
        began = time.perf_counter()
        connection.request("POST", "/v1/assess", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        took = (time.perf_counter() - began) * 1e3
        if answer.status != 200:
            sys.exit(f"POST /v1/assess answered {answer.status}: {content[:500]!r}")
        if number >= 10:  # the first ones warm up
            whole.append(took)
            inner = model_ms(answer.headers)
            model += [inner] if inner is not None else []
    connection.close()
    return whole, model


async def read_answer(reader):
    """(status, headers) of one answer with a `content-length`; the body is read and dropped."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:]) if k}
    if "content-length" not in headers:
        sys.exit(f"an answer without content-length: {lines[0]}")
    await reader.readexactly(int(headers["content-length"]))
    return int(lines[0].split(" ")[1]), headers


async def client(port, ask, ends, tally):
    """Posts one document after another until `ends`; adds to `tally`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < ends:
        number = next(ask)
        body = json.dumps({"id": str(number), "text": post(number)}).encode()
        head = f"POST /v1/assess HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        while True:
            began = time.perf_counter()
            writer.write(head.encode() + body)
            status, headers = await asyncio.wait_for(read_answer(reader), 60)
            if status != 429:
                break
            tally["refused"] += 1
            if time.perf_counter() > ends:
                break
            await asyncio.sleep(min(float(headers.get("retry-after", "1")), 1.0))
        if status == 200:
            tally["ms"].append((time.perf_counter() - began) * 1e3)
            tally["last"] = time.perf_counter()
            tally["numbers"].append(number)
        elif status != 429:
            sys.exit(f"POST /v1/assess answered {status}")
    writer.close()


async def load(port, clients, seconds):
    """The tally of that many clients: answered numbers, their milliseconds, refusals, documents/s."""
    tally, ask = {"numbers": [], "ms": [], "refused": 0, "last": 0.0}, iter(range(1, 10**9))
    began = time.perf_counter()
    await asyncio.gather(*(client(port, ask, began + seconds, tally) for _ in range(clients)))
    tally["per_s"] = len(tally["numbers"]) / (tally["last"] - began)
    return tally


def score_seconds(args, texts, *flags):
    """Seconds of `highwater score` on these texts: the whole run less a run over one text, which is start and loading."""
    took = []
    for some in (texts[:1], texts):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as f:
            f.writelines(json.dumps({"text": text}) + "\n" for text in some)
            f.flush()
            began = time.perf_counter()
            subprocess.run([args.binary, "score", f.name, "--model", args.model, "-q", *flags], stdout=subprocess.DEVNULL, check=True)
            took.append(time.perf_counter() - began)
    return took[1] - took[0], len(texts) - 1


def measure(args):
    """Runs everything; returns the numbers."""
    with Service(args) as service:
        found = {"start_s": service.start_s}
        whole, model = latency(service.port, args.requests)
        tally = asyncio.run(load(service.port, args.clients, args.seconds))
    if model:
        found["model_ms"], found["model_by"] = median(model), "server-timing"
    else:
        seconds, count = score_seconds(args, [post(0)] * (args.requests + 1), "--batch-tokens", "1")
        found["model_ms"], found["model_by"] = seconds / count * 1e3, "score --batch-tokens 1, all threads"
    seconds, count = score_seconds(args, [post(0), *map(post, tally["numbers"])])
    found |= {"latency_ms": median(whole), "latency_p95_ms": quantiles(whole, n=20)[-1], "load_per_s": tally["per_s"], "score_per_s": count / seconds}
    return found | {"load_ms": median(tally["ms"]), "load_p95_ms": quantiles(tally["ms"], n=20)[-1], "refused": tally["refused"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.path.join(ROOT, "target", "release", "highwater"))
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--json")
    parser.add_argument("flags", nargs="*", help="further flags of `serve`, after --")
    args = parser.parse_args()
    if not os.path.exists(args.binary):
        sys.exit(f"{args.binary} is not there: run `make build` first")
    f = measure(args)
    print(f"start    {f['start_s']:.2f} s to ready")
    print(f"latency  median {f['latency_ms']:.1f} ms, p95 {f['latency_p95_ms']:.1f} ms; model {f['model_ms']:.1f} ms ({f['model_by']}): {f['latency_ms'] / f['model_ms']:.2f}x")
    print(f"load     {f['load_per_s']:.1f} documents/s, {args.clients} clients, median {f['load_ms']:.0f} ms, p95 {f['load_p95_ms']:.0f} ms, {f['refused']} refused")
    print(f"score    {f['score_per_s']:.1f} documents/s on the same documents: the service gives {f['load_per_s'] / f['score_per_s']:.2f} of it")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as out:
            json.dump(f, out, indent=1)


if __name__ == "__main__":
    main()
