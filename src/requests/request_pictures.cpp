#include "requests/request_pictures.h"

#include "base/base64.h"

namespace tintype {

std::optional<RequestPicture> take_picture(const Json& request, const char* name,
                                           const RequestLimits& limits,
                                           std::vector<SharedBlob>& inputs) {
  const auto found = request.find(name);
  if (found == request.end() || found->is_null()) return std::nullopt;
  TT_REQUIRE(found->is_string(), name, "must be text: base64 of a picture's file");
  DataUri picture =
      decode_data_uri(found->get_ref<const std::string&>(), name, limits.max_image_bytes);
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(picture.bytes.data()),
                                       picture.bytes.size());
  RequestPicture out{.info = {}, .index = static_cast<int>(inputs.size())};
  try {
    out.info = inspect_image(bytes);
  } catch (const Error& error) {
    // "[load_image] the picture must ...": the member says where.
    const std::string_view message = error.what();
    const size_t end = message.find("] ");
    fail(error.kind(), name, end == message.npos ? message : message.substr(end + 2));
  }
  const int64_t pixels = int64_t{out.info.width_px} * out.info.height_px;
  TT_REQUIRE(pixels <= limits.max_input_pixels, name, "must have at most ", limits.max_input_pixels,
             " pixels, got ", out.info.width_px, " x ", out.info.height_px);
  inputs.push_back(std::make_shared<const Blob>(
      Blob{std::string(media_type_of(out.info.format)), std::move(picture.bytes)}));
  return out;
}

}  // namespace tintype
