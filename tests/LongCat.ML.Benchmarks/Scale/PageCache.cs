using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace LongCat.ML.Benchmarks.Scale;

/// <summary>Takes a file out of the page cache, so that who reads it next reads the disk. Only clean pages go: the file is flushed first.</summary>
internal static partial class PageCache
{
    private const int DontNeed = 4;

    public static void Drop(string path)
    {
        using SafeFileHandle file = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite);
        RandomAccess.FlushToDisk(file);
        int error = Advise(file, 0, 0, DontNeed);
        if (error != 0)
        {
            throw new IOException($"{path}: posix_fadvise failed with {error}");
        }
    }

    public static void DropFolder(string folder)
    {
        foreach (string path in Directory.EnumerateFiles(folder))
        {
            Drop(path);
        }
    }

    /// <summary>How many bytes of each part of a file are in the page cache, whoever read them.</summary>
    public static unsafe long[] Resident(string path, IReadOnlyList<(long Offset, long Length)> parts)
    {
        using MemoryMappedFile file = MemoryMappedFile.CreateFromFile(path, FileMode.Open, null, 0, MemoryMappedFileAccess.Read);
        using MemoryMappedViewAccessor view = file.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        byte* start = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        try
        {
            return [.. parts.Select(part => Count((nint)start + (nint)part.Offset, part.Length))];
        }
        finally
        {
            view.SafeMemoryMappedViewHandle.ReleasePointer();
        }
    }

    private static long Count(nint address, long length)
    {
        byte[] pages = new byte[(length + Environment.SystemPageSize - 1) / Environment.SystemPageSize];
        return InCore(address, (nuint)length, pages) == 0
            ? pages.Count(page => (page & 1) != 0) * (long)Environment.SystemPageSize
            : throw new IOException($"mincore failed with {Marshal.GetLastPInvokeError()}");
    }

    [LibraryImport("libc", EntryPoint = "mincore", SetLastError = true)]
    private static partial int InCore(nint address, nuint length, byte[] pages);

    [LibraryImport("libc", EntryPoint = "posix_fadvise")]
    private static partial int Advise(SafeFileHandle file, long offset, long length, int advice);
}
