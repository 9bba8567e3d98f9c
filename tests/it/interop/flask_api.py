"""The form API in Flask, as its users know it, with some answers more; prints its port."""

import sys

from flask import Flask, Response, jsonify, redirect, request
from werkzeug.formparser import FormDataParser
from werkzeug.serving import WSGIRequestHandler, make_server

app = Flask(__name__)


@app.route("/api", methods=["GET", "POST"])
def api():
    fields = request.args if request.method == "GET" else request.form
    return jsonify(fields.to_dict())


@app.route("/strict", methods=["POST"])
def strict():
    """As /api, but what Flask answers with no fields, because it cannot read it, is 400."""
    try:
        _, form, files = FormDataParser(silent=False).parse_from_environ(request.environ)
    except ValueError:
        return "", 400
    if None in form or None in files:
        return "", 400
    return jsonify(form.to_dict())


@app.route("/pieces")
def pieces():
    """Without a length: chunks in HTTP/1.1, and up to the close in HTTP/1.0."""
    return Response((f"piece {n}\n" for n in range(1000)), mimetype="text/plain")


@app.route("/moved")
def moved():
    return redirect("/api")


@app.route("/empty")
def empty():
    return "", 204


@app.route("/broken")
def broken():
    raise RuntimeError("on purpose")


class Handler(WSGIRequestHandler):
    protocol_version = sys.argv[1]

    def log_request(self, *_):
        pass


server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
print(server.port, flush=True)
server.serve_forever()
