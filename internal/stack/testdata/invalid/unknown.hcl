name = "home" # error: Unsupported argument

stack "home" {
  domain = "llm.example.com" # error: Unsupported argument
}

proxy "edge" {
  adress = "203.0.113.10" # error: Unsupported argument
  domain = "llm.example.com"
  tls    = "internal"     # error: Unsupported argument
  color  = "green"        # error: Unsupported argument

  rely {} # error: Unsupported block
  ssh {
    prot     = 22      # error: Unsupported argument
    password = "admin" # error: Unsupported argument
  }
}

worker "gpu-1" {
  address {} # error: Unsupported block

  modle "llama3-8b" { # error: Unsupported block
    bakend = "http://127.0.0.1:11434"
  }
}

worker "gpu-2" {
  address = "10.0.0.22"
  model "llama3-8b" {
    bakend = "http://127.0.0.1:11434" # error: Unsupported argument
    kind   = "chatt"                  # error: Invalid value
  }
}

server "x" {} # error: Unsupported block

api_keys "laptop" {} # error: Unsupported block

variable "x" { # error: Variable without value
  typ = string  # error: Unsupported argument
  validation {} # error: Unsupported block
}

locals {
  inner {} # error: Unsupported block
}
