stack {} # error: Missing name

proxy "edge" "two" { # error: Missing name
  address = "203.0.113.10"
  domain  = "llm.example.com"
  tls {}             # error: Missing mode
  relay "x" {}       # error: Unexpected name
}

worker "Gpu" { # error: Invalid name
  address = "10.0.0.21"
  model {      # error: Missing name
    backend = "http://127.0.0.1:11434"
  }
}

locals "x" {} # error: Unexpected name

variable "a" "b" {} # error: Invalid name

variable "1" {} # error: Invalid name
