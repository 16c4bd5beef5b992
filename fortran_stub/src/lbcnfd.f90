!> The north fold of a tripolar grid: lbc_nfd, the northern half of lbc_lnk.
!!
!! A half-turn about the pivot maps the grid on itself: the points beyond the last row J = Nj0glo are points below it, read
!! from right to left, and a component of a vector changes its sign. The pivot is the T point of column 1 and row J
!! (c_NFtype = 'T') or the F point of column N = Ni0glo and row J ('F'); a second one lies half a row away. Point (i, j) is
!!    pivot    T                  U                  V                  F              (columns modulo N)
!!    T        N+2-i, 2J-j        N+1-i, 2J-j        N+2-i, 2J-j-1      N+1-i, 2J-j-1
!!    F        N+1-i, 2J-j+1      N-i,   2J-j+1      N+1-i, 2J-j        N-i,   2J-j
!! Inside the grid this makes pairs of V and F in the rows J-1 and J (pivot T), and within row J of T and U (pivot T) or of
!! V and F (pivot F). Of a pair the southern point is kept, within a row the western one; the other is overwritten.
!! Source: NEMO 4.2, lbc_nfd; here for a global grid without halo.
module lbcnfd
   use mpi, only: MPI_COMM_NULL, MPI_UNDEFINED, MPI_INTEGER, MPI_Comm_split, MPI_Comm_size, MPI_Allgather, MPI_Allgatherv
   use par_kind, only: wp
   use par_oce, only: Ni0glo, Nj0glo, Ni_0, Nj_0, Nis0, Nie0, Nje0, jpi, jpj, nn_hls
   use dom_oce, only: mig, mjg, njmpp, l_NFold, l_IdoNFold, c_NFtype
   use lib_mpp, only: mpi_comm_oce, mpi_wp, mpprank
   implicit none
   private
   public :: nfd_init, nfd_source, nfd_copy, lbc_nfd

   !> A field whose halos are to be filled.
   type, public :: t_field
      real(wp), pointer, contiguous :: p(:, :, :) => null()   ! (jpi, jpj, levels)
      character(len=1) :: cd_nat = 'T'                        ! grid point
      real(wp) :: psgn = 1._wp                                ! -1: component of a vector, changes sign across the fold
   end type t_field

   integer, parameter, public :: jpnfrow = nn_hls + 2   !< rows below the fold that the halo and the pairs come from

   integer :: ncomm_north = MPI_COMM_NULL    ! ranks that touch the fold, from west to east
   integer, allocatable :: ncol(:)           ! columns of each of them
   real(wp), allocatable :: zsnd(:), zrcv(:)

contains

   !> Find the ranks that touch the fold; called by mpp_init.
   subroutine nfd_init()
      integer :: ierr, inum
      if (.not. l_NFold) return
      l_IdoNFold = njmpp + Nj_0 - 1 == Nj0glo
      call MPI_Comm_split(mpi_comm_oce, merge(1, MPI_UNDEFINED, l_IdoNFold), mpprank, ncomm_north, ierr)
      if (.not. l_IdoNFold) return
      call MPI_Comm_size(ncomm_north, inum, ierr)
      allocate (ncol(inum))
      call MPI_Allgather(Ni_0, 1, MPI_INTEGER, ncol, 1, MPI_INTEGER, ncomm_north, ierr)
   end subroutine nfd_init

   !> Where the value of global point (ki, kj) is kept: itself, except beyond the fold and for the second of a pair.
   elemental subroutine nfd_source(cd_nat, ki, kj, kis, kjs)
      character(len=1), intent(in) :: cd_nat   !< T, U, V or F
      integer, intent(in) :: ki, kj            !< global column and row, inside the grid or beyond its edges
      integer, intent(out) :: kis, kjs         !< column, in 1..Ni0glo when it is another point, and row
      integer :: icol, irow

      kis = ki
      kjs = kj
      if (.not. l_NFold) return
      icol = Ni0glo + 2 - ki
      irow = 2*Nj0glo - kj
      if (c_NFtype == 'F') then
         icol = icol - 1
         irow = irow + 1
      end if
      if (cd_nat == 'U' .or. cd_nat == 'F') icol = icol - 1
      if (cd_nat == 'V' .or. cd_nat == 'F') irow = irow - 1
      icol = modulo(icol - 1, Ni0glo) + 1
      if (irow > kj) return
      if (irow == kj .and. icol >= modulo(ki - 1, Ni0glo) + 1) return
      kis = icol
      kjs = irow
   end subroutine nfd_source

   !> True where global point (ki, kj) is the second of a pair or beyond the fold: sums pass over it.
   elemental logical function nfd_copy(cd_nat, ki, kj)
      character(len=1), intent(in) :: cd_nat
      integer, intent(in) :: ki, kj
      integer :: ii, ij
      call nfd_source(cd_nat, ki, kj, ii, ij)
      nfd_copy = ii /= ki .or. ij /= kj
   end function nfd_copy

   !> Fill the northern halo, corners included, and overwrite the second of each pair; on ranks that touch the fold.
   !!
   !! Only interior values are read. The ranks share the topmost rows of all fields in one message, columns slowest: the
   !! pieces of the ranks, put side by side, are then the strip of the whole grid, (row, level, column).
   subroutine lbc_nfd(fields)
      type(t_field), intent(inout) :: fields(:)
      integer :: jf, ji, jj, jk, jr, in, ilev, ifirst, ii, ij, ierr

      if (.not. l_IdoNFold) return
      ilev = 0
      do jf = 1, size(fields)
         ilev = ilev + size(fields(jf)%p, 3)
      end do
      call reserve(jpnfrow*ilev)
      in = 0
      do ji = Nis0, Nie0
         do jf = 1, size(fields)
            do jk = 1, size(fields(jf)%p, 3)
               do jj = Nje0 - jpnfrow + 1, Nje0
                  in = in + 1
                  zsnd(in) = fields(jf)%p(ji, jj, jk)
               end do
            end do
         end do
      end do
      call MPI_Allgatherv(zsnd, in, mpi_wp, zrcv, ncol*jpnfrow*ilev, &
      &                   [(sum(ncol(:jr - 1))*jpnfrow*ilev, jr=1, size(ncol))], mpi_wp, ncomm_north, ierr)
      ifirst = 0                       ! levels of the fields before this one
      do jf = 1, size(fields)
         do jj = Nje0, jpj
            do ji = 1, jpi
               call nfd_source(fields(jf)%cd_nat, mig(ji), mjg(jj), ii, ij)
               if (ii == mig(ji) .and. ij == mjg(jj)) cycle
               in = (ii - 1)*ilev*jpnfrow + ij - (Nj0glo - jpnfrow)
               do jk = 1, size(fields(jf)%p, 3)
                  fields(jf)%p(ji, jj, jk) = fields(jf)%psgn*zrcv(in + (ifirst + jk - 1)*jpnfrow)
               end do
            end do
         end do
         ifirst = ifirst + size(fields(jf)%p, 3)
      end do
   end subroutine lbc_nfd

   !> Make room for kcol numbers per column.
   subroutine reserve(kcol)
      integer, intent(in) :: kcol
      if (allocated(zsnd)) then
         if (size(zsnd) >= kcol*Ni_0) return
         deallocate (zsnd, zrcv)
      end if
      allocate (zsnd(kcol*Ni_0), zrcv(kcol*Ni0glo))
   end subroutine reserve
end module lbcnfd
