stack "home" {}

ssh {
  user = "ops" # may become root with sudo
}

proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"
  tls "internal" {} # a certificate authority of its own
}

worker "gpu-1" {
  address = "10.0.0.21"
  model "llama3-8b" {
    backend  = "http://127.0.0.1:11434" # an engine that runs there: Ollama
    upstream = "llama3.1:8b"            # and what it calls the model
  }
}

api_key "laptop" {}
