"""Example Dags. The documentation shows them, and tests run them. The wheel does not contain them."""
