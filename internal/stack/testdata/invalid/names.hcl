stack "a;reboot" {} # error: Invalid name

proxy "$(id)" { # error: Invalid name
  address = "203.0.113.10"
  domain  = "llm.example.com"
  tls "internal" {}
}

worker "../etc" { # error: Invalid name
  address = "10.0.0.21"

  model "../../etc/passwd" { # error: Invalid name
    backend = "http://127.0.0.1:11434"
  }
  model "a b" { # error: Invalid name
    backend = "http://127.0.0.1:11434"
  }
  model "a\nb" { # error: Invalid name
    backend = "http://127.0.0.1:11434"
  }
  model "`id`" { # error: Invalid name
    backend = "http://127.0.0.1:11434"
  }
  model "-rf" { # error: Invalid name
    backend = "http://127.0.0.1:11434"
  }
}

worker "gpu\n1" { # error: Invalid name
  address = "10.0.0.22"
  model "a" { backend = "http://127.0.0.1:11434" }
}

worker "-x" { # error: Invalid name
  address = "10.0.0.23"
  model "a" { backend = "http://127.0.0.1:11434" }
}

worker "a234567890123456789012345678901234567890123456789012345678901234" { # error: Invalid name
  address = "10.0.0.24"
  model "a" { backend = "http://127.0.0.1:11434" }
}

api_key "a\tb" {} # error: Invalid name
