variable "v" { default = 1 }
variable "v" { default = 2 } # error: Duplicate variable

locals { l = 1 }
locals {
  l = 2 # error: Duplicate local
}

stack "home" {}

proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"
  tls "internal" {}
}

worker "gpu-1" {
  address = "10.0.0.21"
  model "a" { backend = "http://127.0.0.1:11434" }
  model "a" { backend = "http://127.0.0.1:11434" } # error: Duplicate name
}

worker "gpu-1" { # error: Duplicate name
  address = "10.0.0.22"
  model "a" { backend = "http://127.0.0.1:11434" }
}

worker "edge" { # error: Duplicate name
  address = "10.0.0.23"
  model "a" { backend = "http://127.0.0.1:11434" }
}

worker "gpu-3" {
  address = "203.0.113.10" # the proxy's machine may have a worker
  model "a" { backend = "http://127.0.0.1:11434" }
}

worker "gpu-4" {
  address = "local"
  model "a" { backend = "http://127.0.0.1:11434" }
}

worker "gpu-5" {
  address = "local" # error: Two workers on one machine
  ssh { port = 23 }
  model "a" { backend = "http://127.0.0.1:11434" }
}

worker "gpu-6" {
  address = "10.0.0.21"
  ssh { port = 2222 }
  model "a" { backend = "http://127.0.0.1:11434" }
}

worker "gpu-7" {
  address = "203.0.113.10" # error: Two workers on one machine
  model "a" { backend = "http://127.0.0.1:11434" }
}

api_key "k" { value = env("OLD_KEY") }
api_key "k" {} # error: Duplicate name
api_key "l" {
  value = env("OLD_KEY") # error: Duplicate key
}
