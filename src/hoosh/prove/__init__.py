"""`hoosh prove`: real gateways on the user's own store, a provider that keeps its own account, and everything against
them; and then every call is looked up in the ledger.
"""
