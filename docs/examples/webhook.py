#!/usr/bin/env python3
"""Listens for kube-face's webhooks on port 9000, and prints those that are really its. Needs nothing but Python.

    WEBHOOK_SECRET=whsec_... docs/examples/webhook.py
"""

import base64
import hashlib
import hmac
import json
import os
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

MINUTES = 5  # older ones may be recordings that somebody plays back


def is_ours(secret: str, name: str, seconds: str, signatures: str, body: bytes) -> bool:
    """Whether one of the signatures was made with the secret, over name, time and body, and lately."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{name}.{seconds}.".encode() + body
    right = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    is_late = abs(time.time() - int(seconds)) > MINUTES * 60
    return not is_late and any(hmac.compare_digest(right, one) for one in signatures.split(" "))


def summary(message: dict) -> str:
    """What happened, on one line."""
    data = message["data"]
    image = data.get("image", data)  # a test has none
    return f"{message['type']} {image.get('id')} {image.get('path')} {data.get('person')}"


class Hook(BaseHTTPRequestHandler):
    heard = set()  # of the last ones; keep them where they outlive the process

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        name, seconds, signatures = (self.headers[f"webhook-{part}"] for part in ("id", "timestamp", "signature"))
        if not is_ours(os.environ["WEBHOOK_SECRET"], name, seconds, signatures, body):
            self.send_error(403)
            return
        if name not in self.heard:  # the same one may come again
            self.heard.add(name)
            print(summary(json.loads(body)), flush=True)
        self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", 9000), Hook).serve_forever()
