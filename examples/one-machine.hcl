# Everything on one machine, and relayctl on it too, as root or as a user who
# may use sudo. No SSH is needed.
#
# To set the machine up from another one, give both blocks its address instead
# of "local". More workers, each with an address of its own, may join later.

stack "home" {}

proxy "edge" {
  address = "local"
  domain  = "192.168.1.10" # how clients reach this machine

  tls "internal" {}
}

worker "gpu-1" {
  address = "local"

  model "llama3-8b" {
    backend  = "http://127.0.0.1:11434"
    upstream = "llama3.1:8b"
  }
}

api_key "team" {}
