"""Does enrolling views gain anything? One photo alone and with views, at equal false match rate, on unseen probes."""
