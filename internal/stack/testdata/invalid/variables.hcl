variable "count" { # error: Invalid value for variable
  type = number
}

variable "nothing" {} # error: Variable without value

variable "secret" { # error: Variable without value
  type      = string
  sensitive = true
}

variable "type" {
  type    = strin # error: Invalid type specification
  default = "x"
}

variable "default" {
  type    = number
  default = "many" # error: Invalid default
}

variable "computed" {
  default = upper("x") # error: Invalid default
}

variable "maybe" {
  sensitive   = "maybe" # error: Invalid value
  description = 5
  default     = "hunter2hunter2" # error: Secret written in clear
}

stack "home" {}

proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"
  tls "internal" {}
}
