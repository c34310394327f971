stack "home" {}
stack "other" {} # error: Duplicate block

proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"
  tls "internal" {}
  tls "internal" {} # error: Duplicate block
  relay {}
  relay {} # error: Duplicate block
}

proxy "edge-2" { # error: Duplicate block
  address = "203.0.113.11"
}

ssh {}
ssh {} # error: Duplicate block
