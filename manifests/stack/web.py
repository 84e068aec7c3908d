"""A web service that works as long as its database answers."""
import http.server
import os
import signal
import socket
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, text = 200, f"hello from web-{os.environ['SVC_REPLICA']}, {os.environ['COLOUR']}\n"
        if self.path == "/ready":
            try:
                socket.create_connection(("127.0.0.1", int(os.environ["PGPORT"])), 1).close()
            except OSError as error:
                status, text = 503, f"the database does not answer: {error}\n"
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False  # the requests in hand are finished before the end
    request_queue_size = 128


server = Server(("127.0.0.1", int(os.environ["PORT"])), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
server.server_close()
