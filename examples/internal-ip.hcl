# No domain: clients reach the proxy by its IP address, over TLS with a
# certificate of the stack's own authority. Print its root with "relayctl ca".

stack "lab" {}

ssh {
  user          = "ubuntu"
  identity_file = "~/.ssh/id_ed25519"
}

proxy "edge" {
  address = "192.168.1.10"
  domain  = "192.168.1.10"

  tls "internal" {}
}

worker "gpu-1" {
  address = "192.168.1.21"

  model "llama3-8b" {
    backend  = "http://127.0.0.1:11434"
    upstream = "llama3.1:8b"
  }
}

api_key "team" {}
