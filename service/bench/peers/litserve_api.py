"""LitServe: its own batching and its workers.

Settings: lightning.ai/docs/litserve, pages "batching" and "autoscaling"; `fast_queue` is what its
release notes name for high request rates.
"""

import litserve
import numpy as np
from session import INPUT, arguments, session


class Api(litserve.LitAPI):
    """One row in, its probabilities out; batches are made of rows by LitServe."""

    def setup(self, device):
        """Load the model in each worker."""
        self.model = session()

    def decode_request(self, request):
        """Take the rows of one request."""
        return np.array(request["inputs"], dtype=np.float32)

    def batch(self, inputs):
        """Join the rows of several requests."""
        return np.concatenate(inputs)

    def predict(self, rows):
        """Run the model."""
        return self.model.run(None, {INPUT: rows})[0]

    def unbatch(self, output):
        """Give each request its row."""
        return [output[i : i + 1] for i in range(len(output))]

    def encode_response(self, output):
        """Make the answer."""
        return {"outputs": output.tolist()}


if __name__ == "__main__":
    options = arguments()
    api = Api(max_batch_size=max(options.batch, 1), batch_timeout=0.0)
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=options.workers, fast_queue=True
    )
    server.run(
        host="127.0.0.1",
        port=options.port,
        num_api_servers=options.workers,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
