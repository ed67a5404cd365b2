#!/usr/bin/env python3
"""Answers what CompreFace's /api/v1/recognition/recognize did, by one call of kube-face's /recognise. Needs nothing but Python."""

import json
import sys
from urllib.request import Request, urlopen


def recognize(url: str, picture: bytes, token: str = "") -> dict:
    request = Request(f"{url}/recognise", picture, {"Authorization": f"Bearer {token}"} if token else {})
    result = []
    for face in json.load(urlopen(request))["faces"]:
        x, y, width, height = (face["box"][side] for side in ("x", "y", "width", "height"))
        box = {"x_min": x, "y_min": y, "x_max": x + width, "y_max": y + height, "probability": face["score"]}
        # Similarities are other numbers than CompreFace's: 0.4 is the least of somebody who is recognised.
        people = [{"subject": one["person"]["name"], "similarity": 1 - one["distance"]} for one in face["people"]]
        result.append({"box": box, "subjects": people})
    return {"result": result}


if __name__ == "__main__":
    with open(sys.argv[2], "rb") as picture:
        print(json.dumps(recognize(sys.argv[1], picture.read())))
