"""Rules about Services, Ingresses and Gateways."""
