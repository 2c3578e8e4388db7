"""An HTTP server on the loopback, for as long as a `with` statement lasts."""

import contextlib
import http.server
import threading


@contextlib.contextmanager
def listening(handler):
    """Yield the URL of a server whose requests a class of handlers answers."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
