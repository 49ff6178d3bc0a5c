using System.Runtime.InteropServices;

namespace LongCat.ML.Inference.Calibration;

/// <summary>Gram matrices on the disk: the lower triangle of each, row by row. The file goes away when it is closed, also where the process ends.</summary>
/// <remarks>Not thread-safe.</remarks>
internal sealed class GramFile : IDisposable
{
    private readonly Dictionary<string, long> _offsets = new(StringComparer.Ordinal);
    private readonly FileStream _file;

    public GramFile(string? folder)
    {
        Path = System.IO.Path.Combine(folder ?? System.IO.Path.GetTempPath(), $".longcat-gram-{Guid.NewGuid():N}");
        _file = new FileStream(Path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1 << 20, FileOptions.DeleteOnClose);
    }

    public string Path { get; }

    public bool Contains(string site) => _offsets.ContainsKey(site);

    /// <summary>Appends a matrix [K·K].</summary>
    /// <exception cref="IOException">The disk is full.</exception>
    public void Write(string site, ReadOnlySpan<double> gram, int channels)
    {
        long offset = _file.Seek(0, SeekOrigin.End);
        try
        {
            for (int row = 0; row < channels; row++)
            {
                _file.Write(MemoryMarshal.AsBytes(gram.Slice(row * channels, row + 1)));
            }

            _file.Flush();
        }
        catch (Exception exception) when (exception is IOException or ArgumentOutOfRangeException)
        {
            throw new IOException(
                $"{System.IO.Path.GetDirectoryName(Path)}: the Gram matrices of the calibration do not fit there ({exception.Message}). Free some space, raise the memory budget or calibrate without error compensation.", exception);
        }

        _offsets.Add(site, offset);
    }

    /// <summary>Reads a matrix back, both triangles.</summary>
    public double[] Read(string site, int channels)
    {
        _file.Position = _offsets[site];
        double[] gram = new double[checked(channels * channels)];
        for (int row = 0; row < channels; row++)
        {
            _file.ReadExactly(MemoryMarshal.AsBytes(gram.AsSpan(row * channels, row + 1)));
            for (int column = 0; column < row; column++)
            {
                gram[(column * channels) + row] = gram[(row * channels) + column];
            }
        }

        return gram;
    }

    public void Dispose() => _file.Dispose();
}
