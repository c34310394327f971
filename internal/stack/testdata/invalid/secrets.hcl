variable "open" {
  type    = string
  default = "hunter2hunter2"
}

variable "token" {
  type      = string
  sensitive = true
  default   = "hunter2hunter2" # error: Secret written in clear
}

variable "key" {
  type      = string
  sensitive = true
}

locals {
  clear = "hunter2hunter2"
}

stack "home" {}

ssh {
  user = var.key # error: Sensitive value not allowed
}

proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"
  tls "internal" {}
}

worker "gpu-1" {
  address = "10.0.0.21"
  model "a" {
    backend     = "http://127.0.0.1:11434"
    backend_key = "hunter2hunter2" # error: Secret written in clear
  }
  model "b" {
    backend     = "http://127.0.0.1:11434"
    backend_key = local.clear # error: Secret written in clear
  }
  model "c" {
    backend     = "http://127.0.0.1:11434"
    backend_key = upper(var.open) # error: Secret from a variable that is not sensitive
  }
  model "d" {
    backend     = "http://127.0.0.1:11434"
    backend_key = env("SPACED") # error: Invalid secret
  }
  model "e" {
    backend     = "http://127.0.0.1:11434"
    backend_key = env("EMPTY") # error: Invalid secret
  }
  model "f" {
    backend     = "http://127.0.0.1:11434"
    backend_key = "${env("OLD_KEY")}\n" # error: Invalid secret
  }
}

api_key "short" {
  value = env("SHORT_KEY") # error: Invalid secret
}

api_key "clear" {
  value = "hunter2hunter2hunter2hunter2hunter2hunter2" # error: Secret written in clear
}

api_key "list" {
  value = [var.key] # error: Invalid value
}

api_key "file" {
  value = file("../ollama.key") # error: Invalid secret
}
