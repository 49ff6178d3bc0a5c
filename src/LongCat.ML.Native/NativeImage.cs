using System.Buffers.Binary;
using Cpu = System.Runtime.InteropServices.Architecture;

namespace LongCat.ML.Native;

/// <summary>What the first bytes of a native library say about where it runs.</summary>
/// <param name="System"><c>linux</c>, <c>win</c> or <c>osx</c>, as in runtime identifiers; empty for a file that is no native library.</param>
/// <param name="Architecture">Its processor; null for one that .NET does not run on, or unknown.</param>
internal readonly record struct NativeImage(string System, Cpu? Architecture)
{
    /// <summary>Its runtime identifier, or what can be said instead.</summary>
    public override string ToString() =>
        System.Length == 0 ? "not a native library" : $"{System}-{Architecture?.ToString().ToLowerInvariant() ?? "(another processor)"}";

    /// <summary>Reads the header of an ELF, PE or Mach-O file; anything else, a cut file too, is not a native library.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static NativeImage Read(string path)
    {
        using FileStream file = File.OpenRead(path);
        Span<byte> header = stackalloc byte[64];
        int count = file.ReadAtLeast(header, header.Length, throwOnEndOfStream: false);
        if (count < header.Length)
        {
            return new(string.Empty, null);
        }

        if (header[..4].SequenceEqual("\u007fELF"u8))
        {
            // e_machine, in the byte order that e_ident names; only 64-bit files count.
            ushort machine = header[5] == 2 ? BinaryPrimitives.ReadUInt16BigEndian(header[18..]) : BinaryPrimitives.ReadUInt16LittleEndian(header[18..]);
            return new("linux", header[4] != 2 ? null : machine switch { 62 => Cpu.X64, 183 => Cpu.Arm64, _ => null });
        }

        if (header[..4].SequenceEqual<byte>([0xCF, 0xFA, 0xED, 0xFE]))
        {
            uint cpu = BinaryPrimitives.ReadUInt32LittleEndian(header[4..]);
            return new("osx", cpu switch { 0x01000007 => Cpu.X64, 0x0100000C => Cpu.Arm64, _ => null });
        }

        if (header[..2].SequenceEqual("MZ"u8))
        {
            file.Position = BinaryPrimitives.ReadUInt32LittleEndian(header[0x3C..]);
            Span<byte> coff = stackalloc byte[6];
            if (file.ReadAtLeast(coff, coff.Length, throwOnEndOfStream: false) == coff.Length && coff[..4].SequenceEqual("PE\0\0"u8))
            {
                return new("win", BinaryPrimitives.ReadUInt16LittleEndian(coff[4..]) switch { 0x8664 => Cpu.X64, 0xAA64 => Cpu.Arm64, _ => null });
            }
        }

        return new(string.Empty, null);
    }
}
