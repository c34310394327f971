stack "home" {}

proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"
  tls "internal" {}
}

worker "gpu-1" {
  address = "10.0.0.21"
  model "llama3-8b" { backend = "http://127.0.0.1:11434" }
  model "llama3/8b" { backend = "http://127.0.0.1:11434" } # error: Names too alike
  model "LLAMA3:8b" { backend = "http://127.0.0.1:11434" } # error: Names too alike
}

api_key "a" {
  models  = ["lama3-8b"]   # error: Unknown model
  expires = "30.06.2027"   # error: Invalid value
}

api_key "b" {
  models  = []             # error: Invalid value
  expires = "2027-02-30"   # error: Invalid value
}

api_key "c" {
  models  = "llama3-8b"    # error: Invalid value
  expires = "2027-06-30 12:00" # error: Invalid value
}

api_key "d" {
  models = ["llama3-8b", "llama3-8b"] # error: Invalid value
}

api_key "e" {
  models = ["a;reboot"] # error: Invalid value
}

api_key "f" {
  models = [null] # error: Invalid value
}
