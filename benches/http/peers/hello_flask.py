"""Flask: its development server when run as a program, and `app` for gunicorn."""

import sys

from flask import Flask
from werkzeug.serving import WSGIRequestHandler

app = Flask(__name__)


@app.get("/")
def hello():
    return "Hello, World!"  # Flask's default type is text/html; charset=utf-8.


class Handler(WSGIRequestHandler):
    """No access log, and TCP_NODELAY."""

    disable_nagle_algorithm = True

    def log_request(self, code="-", size="-"):
        pass


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), request_handler=Handler)
