"""Our client against real mail servers: what an embedded test server cannot prove about the world outside."""
