using System.Security.Cryptography;
using System.Text.Json;

namespace LongCat.ML.Checkpoints;

public sealed partial record ModelManifest
{
    /// <summary>A manifest has some kilobytes; a larger file is none.</summary>
    private const long LongestManifest = 16L << 20;

    /// <summary>
    /// Reads and checks <c>longcat.json</c>: every key is known, present and in range, the content hash is the one of the file list,
    /// and every listed file lies in the folder with its recorded length. The content of the files is not read; see <see cref="VerifyFiles"/>.
    /// </summary>
    /// <param name="folder">An exported model's folder.</param>
    /// <returns>The manifest.</returns>
    /// <exception cref="CheckpointException">The folder is no exported model, or the manifest or a file's length is wrong; the message names the key or file, the value and what was expected.</exception>
    public static ModelManifest Read(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        string path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
        {
            throw new CheckpointException(
                folder,
                Directory.Exists(folder)
                    ? $"holds no {FileName}, so it is not an exported model. Export the checkpoint first (longcat export)."
                    : "the model folder does not exist.");
        }

        ModelManifest manifest;
        try
        {
            using JsonDocument document = JsonDocument.Parse(BoundedFile.Read(path, LongestManifest), new JsonDocumentOptions { AllowDuplicateProperties = false });
            manifest = ManifestReader.Read(document.RootElement, path);
        }
        catch (JsonException exception)
        {
            throw new CheckpointException(path, $"not valid JSON: {exception.Message} Export the model again.", exception);
        }
        catch (InvalidOperationException exception)
        {
            // A name or text that is no text: bytes that are no UTF-8, or an escaped lone surrogate.
            throw new CheckpointException(path, $"a text is no valid Unicode: {exception.Message} Export the model again.", exception);
        }

        manifest.CheckLengths(folder);
        return manifest;
    }

    /// <summary>Reads every listed file and compares its SHA-256 with the manifest's. Takes as long as reading the whole model does.</summary>
    /// <param name="folder">The folder this manifest was read from.</param>
    /// <param name="cancellationToken">Stops between blocks of 1 MiB.</param>
    /// <exception cref="CheckpointException">A file is missing, has another length, or another content.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public void VerifyFiles(string folder, CancellationToken cancellationToken = default)
    {
        CheckLengths(folder);
        byte[] buffer = new byte[1 << 20];
        foreach ((string name, ManifestFile file) in Files)
        {
            string path = Path.Combine(folder, name);
            using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            for (int read; (read = stream.Read(buffer)) > 0;)
            {
                cancellationToken.ThrowIfCancellationRequested();
                hash.AppendData(buffer, 0, read);
            }

            string actual = Convert.ToHexStringLower(hash.GetHashAndReset());
            if (actual != file.Sha256)
            {
                throw new CheckpointException(path, $"SHA-256 {actual}, {FileName} records {file.Sha256}: the file was changed or damaged. Export the model again.");
            }
        }
    }

    private void CheckLengths(string folder)
    {
        foreach ((string name, ManifestFile file) in Files)
        {
            FileInfo info = new(Path.Combine(folder, name));
            if (!info.Exists)
            {
                throw new CheckpointException(info.FullName, $"missing; {FileName} lists it with {file.Bytes} bytes. Export the model again or copy the whole folder.");
            }

            if (info.Length != file.Bytes)
            {
                throw new CheckpointException(info.FullName, $"{info.Length} bytes, {FileName} records {file.Bytes}: the file was changed or cut short. Export the model again.");
            }
        }
    }

    /// <summary>What must hold of any manifest, read or about to be written.</summary>
    internal void Check(string path)
    {
        Require(!string.IsNullOrEmpty(Architecture), "architecture", Architecture, "a class name");
        Require(VocabSize >= 1, "vocab_size", VocabSize, "at least 1");
        Require(HiddenSize >= 1, "hidden_size", HiddenSize, "at least 1");
        Require(MaxPositions >= 1, "max_positions", MaxPositions, "at least 1");
        Require(BosTokenId is null || (BosTokenId >= 0 && BosTokenId < VocabSize), "bos_token_id", BosTokenId, $"a token id below vocab_size {VocabSize}");
        foreach (int id in EosTokenIds)
        {
            Require(id >= 0 && id < VocabSize, "eos_token_ids", id, $"token ids below vocab_size {VocabSize}");
        }

        Require(NgramNeighbors is 0 or >= 2, "ngram_neighbors", NgramNeighbors, "0, or at least 2");
        Require(Caches.Count >= 1, "caches", Caches.Count, "at least one cache");
        Require(DraftCaches is null || DraftCaches.Count >= 1, "draft_caches", DraftCaches?.Count, "at least one cache where the key is present");
        foreach (CacheLayout cache in Caches.Concat(DraftCaches ?? []))
        {
            Require(cache.Width >= 1, "width", cache.Width, "at least 1");
        }

        Require(Operators == OperatorSet.LongCat || CacheType == CacheType.Float32, "cache_type", CacheType, "float32 in an export with standard operators");
        if (Streaming is { } streaming)
        {
            Require(Operators == OperatorSet.LongCat, "streaming", "present", "none in an export with standard operators");
            Require(streaming.AttentionLayers[^1] < Caches.Count, "streaming.caches", streaming.AttentionLayers[^1], $"indexes of the {Caches.Count} caches");
        }

        if (SparseVerification is { } sparse)
        {
            Require(Operators == OperatorSet.LongCat, "sparse_verification", "present", "none in an export with standard operators");
            Require(sparse.Attentions >= 1 && sparse.Attentions <= Caches.Count, "sparse_verification.attentions", sparse.Attentions, $"1 to {Caches.Count}, the number of caches");
            for (int attention = 0; attention < sparse.Attentions; attention++)
            {
                bool streams = Streaming?.IsStreaming(attention) == true;
                Require(
                    streams ? sparse.MeanWidths[attention] == 0 : sparse.MeanWidths[attention] >= 0,
                    "sparse_verification.mean_widths",
                    sparse.MeanWidths[attention],
                    streams ? $"0 for attention {attention}, which streams" : "0 or more");
            }

            Require(sparse.FfnLayers >= 0, "sparse_verification.ffn_layers", sparse.FfnLayers, "0 or more");
            Require(sparse.MoeLayers >= 0, "sparse_verification.moe_layers", sparse.MoeLayers, "0 or more");
            Require(sparse.MoeLayers == 0 ? sparse.TopK == 0 : sparse.TopK >= 2, "sparse_verification.topk", sparse.TopK, sparse.MoeLayers == 0 ? "0 without mixtures" : "at least 2");
        }

        foreach ((string name, ManifestFile file) in Files)
        {
            bool plain = name.Length > 0 && name != "." && name != ".." && name.IndexOfAny(['/', '\\', '\0']) < 0 && name != FileName;
            Require(plain, "files", name, "plain file names inside the folder, longcat.json not among them");
            Require(file.Bytes >= 0, $"files.{name}.bytes", file.Bytes, "zero or more");
            Require(file.Sha256.Length == 64 && file.Sha256.All(char.IsAsciiHexDigitLower), $"files.{name}.sha256", file.Sha256, "64 lower-case hexadecimal digits");
        }

        Require(Files.ContainsKey(ModelFileName), "files", string.Join(", ", Files.Keys), $"{ModelFileName} among them");
        Require(Files.ContainsKey(DraftFileName) == HasDraft, "draft_caches", HasDraft ? "present" : "absent", $"present exactly when files lists {DraftFileName}");

        void Require(bool condition, string key, object? value, string expected)
        {
            if (!condition)
            {
                throw new CheckpointException(path, $"{key} is {CheckpointException.Printable(value?.ToString() ?? "absent")}; expected {expected}. Export the model again.");
            }
        }
    }
}
