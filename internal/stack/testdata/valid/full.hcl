# Everything that is served, each away from its default.
variable "laptop_key" {
  type        = string
  sensitive   = true
  description = "key of the laptop"
}

variable "spare" {
  type      = string
  sensitive = true
  default   = null
}

variable "ports" {
  type    = list(number)
  default = [2222, 2200]
}

locals {
  second  = "gpu-${local.count}"
  count   = local.models[0] == "none" ? 0 : 2
  models  = ["llama3-8b", "Qwen/Qwen3:8b"]
  network = "10.0.0.0/24"
}

stack "home" {}

ssh {
  user          = "ubuntu"
  port          = var.ports[0]
  identity_file = "keys/id_ed25519"
  sudo          = "none"
}

proxy "edge" {
  address = "Edge.Example.com"
  domain  = "LLM.example.com"
  server  = "caddy"

  ssh {
    user     = "root"
    host_key = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
    sudo     = "auto"
  }

  tls "internal" {}

  relay {
    listen             = "[::1]:9000"
    first_byte_timeout = "1s"
    idle_timeout       = "24h"
    request_timeout    = "1h30m"
    queue_timeout      = "90s"
    max_queue          = 0
  }
}

worker "gpu-1" {
  address = cidrhost(local.network, 21)

  model "llama3-8b" {
    backend     = "http://127.0.0.1:11434/"
    backend_key = trimspace(file("../ollama.key"))
    upstream    = "llama3.2:3b-instruct-q4_K_M"
    kind        = "chat"
    concurrency = 64
  }

  model "Qwen/Qwen3:8b" {
    backend     = "https://[2001:DB8::1]:8443"
    backend_key = var.spare
  }
}

worker "gpu-2" {
  address = "local"

  ssh {
    port          = 22
    identity_file = "~/id"
  }

  model "llama3-8b" {
    backend = "http://engine.lan"
  }
}

api_key "laptop" {
  value   = var.laptop_key
  models  = [for m in local.models : m if startswith(m, "llama")]
  expires = "2027-06-30"
}

api_key "phone" {
  expires = "2027-06-30T12:00:00+02:00"
}

api_key "old" {
  value = env("OLD_KEY")
}
