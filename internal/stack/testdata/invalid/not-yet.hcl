# All of the language that is known and not served.
stack "home" {}

proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"
  server  = "nginx" # error: Not supported yet

  tls "letsencrypt" { # error: Not supported yet
    email = "ops@example.com"
  }

  firewall { # error: Not supported yet
    ssh_from = ["198.51.100.0/24"]
    allow "node-exporter" {
      port = 9100
    }
  }

  access { # error: Not supported yet
    max_body = "32MiB"
  }
}

worker "gpu-1" {
  address = "10.0.0.21"
  firewall {} # error: Not supported yet

  model "llama3-8b" {
    source      = "meta-llama/Llama-3.1-8B-Instruct" # error: Not supported yet
    concurrency = 64
    engine "vllm" { # error: Not supported yet
      version = "0.33.0"
    }
  }

  model "embed" {
    backend = "http://127.0.0.1:11434"
    kind    = "embedding" # error: Not supported yet
  }
}

worker "spare" {
  managed = false # error: Not supported yet
  model "llama3-8b" {
    backend = "http://127.0.0.1:11434"
    kind    = "rerank" # error: Not supported yet
  }
}

api_key "laptop" {
  requests_per_minute = 60     # error: Not supported yet
  tokens_per_minute   = 200000 # error: Not supported yet
  concurrency         = 8      # error: Not supported yet
}
