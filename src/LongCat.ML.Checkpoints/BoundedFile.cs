namespace LongCat.ML.Checkpoints;

/// <summary>Reads small text files of a checkpoint whole, refusing those of an absurd size before allocating.</summary>
internal static class BoundedFile
{
    /// <summary>Reads a file whole.</summary>
    /// <param name="path">Path of the file.</param>
    /// <param name="longest">The largest size accepted, in bytes.</param>
    /// <returns>The bytes, without a UTF-8 byte order mark.</returns>
    /// <exception cref="CheckpointException">Missing, unreadable or too long.</exception>
    public static ReadOnlyMemory<byte> Read(string path, long longest)
    {
        try
        {
            using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            if (stream.Length > longest)
            {
                throw new CheckpointException(path, $"the file is {stream.Length} bytes long, expected at most {longest}");
            }

            byte[] bytes = new byte[stream.Length];
            stream.ReadExactly(bytes);
            ReadOnlyMemory<byte> content = bytes;
            return content.Span.StartsWith("\uFEFF"u8) ? content[3..] : content;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new CheckpointException(path, HuggingFaceCache.DanglingLink(path) ?? "the file does not exist", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw new CheckpointException(path, $"the file cannot be read: {e.Message}", e);
        }
    }
}
