"""Networks: front end, backbone, head."""
