/// Packed models: one file with a whole model in the form in which a backend multiplies it, made to
/// be mapped and used in place. docs/packed-models.md has the format. What the model's description
/// means is the pipelines' business; every size and offset is checked here.
/// Thread-safety: a PackedFile is immutable and may be read anywhere; a PackedWriter belongs to one
/// thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/json.h"
#include "base/mmap.h"
#include "weights/weights.h"

namespace tintype {

/// True when the file starts as packed models do; false when it cannot be read.
bool is_packed_file(const std::filesystem::path& file);

class PackedFile : public std::enable_shared_from_this<PackedFile> {
 public:
  /// One network: its weights and what its folder would hold as config.json.
  struct Component {
    std::string name;        ///< "unet"
    std::string class_name;  ///< diffusers': "UNet2DConditionModel"
    Json config;
    /// Keeps the file mapped.
    std::shared_ptr<const TensorSource> source() const;

   private:
    friend class PackedFile;
    std::weak_ptr<const PackedFile> file_;
    size_t index_ = 0;
  };

  /// Maps the file and checks all but the bytes of the weights; see verify().
  /// throws kNotFound, kIo, kCorruptFile; kUnsupported: another version of the format
  static std::shared_ptr<const PackedFile> open(const std::filesystem::path& file);
  /// The same from bytes in memory, which must outlive the file and its tensors.
  static std::shared_ptr<const PackedFile> open_bytes(std::span<const std::byte> bytes,
                                                      std::string origin);
  ~PackedFile();

  const std::string& origin() const { return origin_; }
  uint64_t size() const { return bytes_.size(); }
  const Json& model() const { return model_; }  ///< the description, an object
  std::span<const Component> components() const { return components_; }
  /// The names of the layouts that the weights are packed in, each once.
  std::vector<std::string> layouts() const;

  /// Compares every weight with its checksum on as many threads as the machine has. Reads the whole
  /// file, 5 to 15 GB a second when the system has it in memory.
  /// throws kCorruptFile naming the first weight that differs; kIo: the file was cut meanwhile
  void verify() const;

 private:
  class Source;
  struct Weight;
  struct Index;
  PackedFile(std::shared_ptr<const MappedFile> map, std::span<const std::byte> bytes,
             std::string origin);
  static std::shared_ptr<const PackedFile> finish(std::shared_ptr<PackedFile> file);

  std::shared_ptr<const MappedFile> map_;  ///< null: the bytes are the caller's
  std::span<const std::byte> bytes_;
  std::string origin_;
  Json model_;
  std::vector<Component> components_;
  std::vector<std::vector<Weight>> weights_;  ///< of each component, sorted by name
};

/// Writes such a file, weight by weight: memory for one weight and the index.
class PackedWriter {
 public:
  /// throws as ReplacedFile
  explicit PackedWriter(const std::filesystem::path& path);
  ~PackedWriter();

  /// Where the weights of the next component go; lives as long as the writer. Components may be
  /// filled one after the other only.
  PackedSink& component(std::string name, std::string class_name, Json config);
  /// Writes the index and puts the file in place. `model` is the description, an object.
  /// returns the file's size. throws kIo
  uint64_t finish(Json model);

 private:
  class Sink;
  ReplacedFile file_;
  std::vector<std::unique_ptr<Sink>> sinks_;
};

}  // namespace tintype
