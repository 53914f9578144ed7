#include "weights/safetensors.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/mmap.h"
#include "base/text.h"
#include "tensor/allocator.h"
#include "weights/find_by_name.h"
#include "weights/mapped_tensor.h"
#include "weights/pickle_refusal.h"
#include "weights/safetensors_header.h"

namespace tintype {

namespace {

class SafetensorsSource final : public TensorSource {
 public:
  SafetensorsSource(std::shared_ptr<const MappedFile> file, std::span<const std::byte> bytes,
                    std::string origin)
      : file_(std::move(file)),
        bytes_(bytes),
        origin_(std::move(origin)),
        header_(parse_safetensors_header(bytes_, origin_)) {}

  std::span<const Entry> entries() const override { return header_.entries; }
  std::span<const Unreadable> unreadable() const override { return header_.unreadable; }
  const std::string& origin() const override { return origin_; }
  std::string metadata(std::string_view key) const override {
    for (const auto& [name, text] : header_.metadata)
      if (name == key) return text;
    return {};
  }

  Tensor read(const Entry& entry) const override {
    const size_t index = index_of(*this, entry);
    if (file_) file_->require_unchanged();
    const Entry& own = header_.entries[index];
    const SafetensorsHeader::Extent extent = header_.extents[index];
    const auto data =
        bytes_.subspan(static_cast<size_t>(extent.begin), static_cast<size_t>(extent.bytes));
    if (extent.widen == nullptr) return tensor_in_map(file_, data, own.dtype, own.shape);
    Tensor wide = empty_host(own.shape, own.dtype);
    extent.widen(data, reinterpret_cast<uint16_t*>(wide.mutable_bytes()));
    if (file_) file_->release(data);
    return wide;
  }

 private:
  std::shared_ptr<const MappedFile> file_;
  std::span<const std::byte> bytes_;
  std::string origin_;
  SafetensorsHeader header_;
};

/// Several files read as one.
class ShardedSource final : public TensorSource {
 public:
  using ShardPtr = std::shared_ptr<const TensorSource>;

  /// throws kCorruptFile: a tensor in two shards
  ShardedSource(std::vector<ShardPtr> shards, std::string origin) : origin_(std::move(origin)) {
    struct Owned {
      Entry entry;
      ShardPtr shard;
    };
    std::vector<Owned> all;
    for (const ShardPtr& shard : shards) {
      for (const Entry& entry : shard->entries()) all.push_back({entry, shard});
      const auto others = shard->unreadable();
      unreadable_.insert(unreadable_.end(), others.begin(), others.end());
    }
    std::sort(all.begin(), all.end(),
              [](const Owned& a, const Owned& b) { return a.entry.name < b.entry.name; });
    std::sort(unreadable_.begin(), unreadable_.end(),
              [](const Unreadable& a, const Unreadable& b) { return a.name < b.name; });
    for (Owned& owned : all) {
      if (!entries_.empty() && entries_.back().name == owned.entry.name) {
        fail(ErrorKind::kCorruptFile, origin_, "each tensor must be in one shard, got '",
             printable(owned.entry.name), "' in ", shards_.back()->origin(), " and ",
             owned.shard->origin());
      }
      entries_.push_back(std::move(owned.entry));
      shards_.push_back(std::move(owned.shard));
    }
  }

  std::span<const Entry> entries() const override { return entries_; }
  std::span<const Unreadable> unreadable() const override { return unreadable_; }
  const std::string& origin() const override { return origin_; }

  Tensor read(const Entry& entry) const override {
    const size_t index = index_of(*this, entry);
    return shards_[index]->read(entries_[index]);
  }

 private:
  std::string origin_;
  std::vector<Entry> entries_;
  std::vector<ShardPtr> shards_;  ///< which file holds entries_[i]
  std::vector<Unreadable> unreadable_;
};

/// A shard's name is untrusted: it may only name a safetensors file beside the index.
void require_plain_shard_name(const std::string& name, const std::string& origin) {
  const bool plain = name.find('/') == std::string::npos && name.find('\\') == std::string::npos &&
                     name.find('\0') == std::string::npos && !name.starts_with('.');
  if (!plain || !name.ends_with(".safetensors")) {
    fail(ErrorKind::kCorruptFile, origin,
         "weight_map must name .safetensors files beside the index, got '", printable(name), "'");
  }
}

/// True when `source` holds `name`, readable or not.
bool holds(const TensorSource& source, std::string_view name) {
  return find_by_name(source.entries(), name) || find_by_name(source.unreadable(), name);
}

/// tensor name -> shard name, both from the index.
using WeightMap = std::map<std::string, std::string, std::less<>>;

WeightMap read_weight_map(const std::filesystem::path& index, const std::string& origin) {
  const Json document = read_json_file(index);
  const JsonObject root(document, origin);
  if (!root.has("weight_map")) {
    fail(ErrorKind::kCorruptFile, origin, "must have a weight_map, got none");
  }
  const Json& entries = document.at("weight_map");
  if (!entries.is_object() || entries.empty()) {
    fail(ErrorKind::kCorruptFile, origin, "weight_map must be an object that names tensors, got ",
         entries.is_object() ? "an empty one" : entries.type_name());
  }
  WeightMap map;
  for (const auto& [name, shard] : entries.items()) {
    if (!shard.is_string()) {
      fail(ErrorKind::kCorruptFile, origin, "weight_map must map names to file names, got ",
           shard.type_name(), " for '", printable(name), "'");
    }
    const auto& file = shard.get_ref<const std::string&>();
    require_plain_shard_name(file, origin);
    map.emplace(name, file);
  }
  return map;
}

}  // namespace

std::shared_ptr<const TensorSource> open_safetensors(const std::filesystem::path& file) {
  auto map = std::make_shared<const MappedFile>(file);
  const std::string origin = printable(file.string());
  refuse_pickle(file, map->bytes());
  const auto bytes = map->bytes();
  return std::make_shared<SafetensorsSource>(std::move(map), bytes, origin);
}

std::shared_ptr<const TensorSource> open_safetensors_bytes(std::span<const std::byte> bytes,
                                                           std::string origin) {
  return std::make_shared<SafetensorsSource>(nullptr, bytes, printable(origin));
}

std::shared_ptr<const TensorSource> open_sharded_safetensors(const std::filesystem::path& index) {
  const std::string origin = printable(index.string());
  const WeightMap map = read_weight_map(index, origin);

  std::map<std::string, std::shared_ptr<const TensorSource>, std::less<>> shards;
  for (const auto& [name, file] : map) shards.emplace(file, nullptr);
  for (auto& [file, shard] : shards) {
    const std::filesystem::path path = index.parent_path() / file;
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) {
      fail(ErrorKind::kNotFound, origin, "all ", shards.size(),
           " shards must lie beside the index, '", printable(file),
           "' does not; probably an incomplete download");
    }
    shard = open_safetensors(path);
  }
  for (const auto& [name, file] : map) {
    if (!holds(*shards.at(file), name)) {
      fail(ErrorKind::kCorruptFile, origin, "shard '", printable(file),
           "' must hold what the index promises, it lacks '", printable(name),
           "'; probably shards of another download");
    }
  }
  std::vector<std::shared_ptr<const TensorSource>> sources;
  for (const auto& [file, shard] : shards) sources.push_back(shard);
  auto merged = std::make_shared<const ShardedSource>(std::move(sources), origin);
  const auto require_listed = [&](const std::string& name) {
    if (!map.contains(name)) {
      fail(ErrorKind::kCorruptFile, origin,
           "index must list every tensor of its shards, it lacks '", printable(name),
           "'; probably shards of another download");
    }
  };
  for (const auto& entry : merged->entries()) require_listed(entry.name);
  for (const auto& other : merged->unreadable()) require_listed(other.name);
  return merged;
}

}  // namespace tintype
