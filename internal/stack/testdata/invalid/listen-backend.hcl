stack "home" {}

proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"
  tls "internal" {}
}

worker "gpu-1" {
  address = "203.0.113.10"
  model "a" { backend = "http://127.0.0.1:8080" } # error: Port used twice
  model "b" { backend = "http://localhost:8081" } # error: Port used twice
  model "c" { backend = "http://[::1]:2019" }     # error: Port used twice
  model "d" { backend = "http://127.0.0.1:11434" }
  model "e" { backend = "http://10.0.0.30:8080" }
}

worker "gpu-2" {
  address = "10.0.0.22"
  model "a" { backend = "http://127.0.0.1:8080" }
}

# Another machine, behind the same address.
worker "gpu-3" {
  address = "203.0.113.10"
  ssh { port = 2222 }
  model "a" { backend = "http://127.0.0.1:8080" }
}
