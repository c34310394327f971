# Workers that relayctl can't reach from where it runs: the way to them leads
# through the proxy, and to one of them through another host besides. Each host
# is reached with its own user, port and keys, as with "ssh -J".

stack "home" {}

# This holds for every host below, but for edge itself.
ssh {
  user = "ops"
  jump = "edge"
}

proxy "edge" {
  address = "203.0.113.10" # or "local", with relayctl on the proxy's machine
  domain  = "llm.example.com"

  tls "internal" {}
}

# Addresses are as the last host of the way sees them.
worker "gpu-1" {
  address = "10.0.0.21"

  model "llama3-8b" {
    backend  = "http://127.0.0.1:11434"
    upstream = "llama3.1:8b"
  }
}

# The lab's own gate is no host of the stack: [user@]host[:port], or a name that
# ~/.ssh/config knows. The first in the list is reached first.
worker "gpu-2" {
  address = "192.168.1.22"

  ssh {
    jump = ["edge", "guest@gate.lab.example.com:2222"]
  }

  model "llama3-8b" {
    backend = "http://127.0.0.1:8000"
  }
}

api_key "laptop" {}
