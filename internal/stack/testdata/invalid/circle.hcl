locals {
  free  = local.early # stands before what it needs
  early = "x"
  a     = local.b # error: Locals in a circle
  b     = "${local.c}-${local.free}"
  c     = upper(local.a)
  self  = local.self # error: Locals in a circle
  after = local.a
}

stack "home" {}

proxy "edge" {
  address = local.after
  domain  = "llm.example.com"
  tls "internal" {}
}
