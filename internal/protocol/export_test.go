package protocol

// For FuzzRequestHead and FuzzResponseHead.
var (
	DecodeRequest  = decodeRequest
	DecodeResponse = decodeResponse
)

func EncodeRequest(stream uint32, h RequestHead) ([]byte, error) {
	return encodeRequest(new([headRoom]byte), stream, h)
}

func EncodeResponse(stream uint32, h ResponseHead) ([]byte, error) {
	return encodeResponse(new([headRoom]byte), stream, h)
}
