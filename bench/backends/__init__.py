"""A backend without a head: activity, stages, certificates, and the rivals of its kernels."""
