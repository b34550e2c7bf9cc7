"""From one release to the next: rollout, colours, nginx, the containers beside them."""
