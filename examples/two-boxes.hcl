# One HTTPS endpoint over two GPU boxes.
#
# Put your own names and addresses in, then:
#
#   relayctl plan      shows what would be done, and changes nothing
#   relayctl apply     does it
#
# Everything that can stand here is explained in docs/stack.md.

stack "home" {}

# How every host below is reached. Each must know your key, and must let this
# user become root with sudo.
ssh {
  user = "ops"
}

# The small public server. Caddy answers there on port 443.
proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"

  # A certificate authority of the stack's own. Its root is printed by
  # "relayctl ca", and clients have to trust it.
  tls "internal" {}
}

# The GPU boxes. They dial out to the proxy, and need no open port. A model's
# name is what clients ask for; backend is where its engine listens.
worker "gpu-1" {
  address = "10.0.0.21"

  # Ollama calls its models by names of its own.
  model "llama3-8b" {
    backend  = "http://127.0.0.1:11434"
    upstream = "llama3.1:8b"
  }
}

worker "gpu-2" {
  address = "10.0.0.22"

  # The same model on a second box: the relay gives each request to the box
  # that has a place free.
  model "llama3-8b" {
    backend     = "http://127.0.0.1:8000" # vLLM
    upstream    = "meta-llama/Llama-3.1-8B-Instruct"
    concurrency = 64
  }

  model "qwen3-4b" {
    backend     = "http://127.0.0.1:8080" # llama.cpp
    concurrency = 4
  }
}

# A key for clients, made by the first apply and shown once.
api_key "laptop" {}

api_key "guest" {
  models  = ["qwen3-4b"]
  expires = "2027-06-30"
}
