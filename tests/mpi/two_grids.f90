!> A model with two grids: a closed one of 20 x 12 cells in rows, and a cyclic one of 14 x 9 that the last rank has no part in.
!! On each it sends a field and checks the five-point sum that comes back; the second exchange has twice the period.
program two_grids
   use mpi
   use cpl_halocline, only : cpl_init, cpl_domain, cpl_var, cpl_define, cpl_snd, cpl_rcv, cpl_finalize, cpl_out, cpl_in
   implicit none
   integer :: icomm, irank, isize, ierr, ia, iasum, ib, ibsum, kt, ja, na, jb, nb, jj, ji, nwrong
   real, allocatable :: a(:,:), asum(:,:), b(:,:,:), bsum(:,:,:)

   call cpl_init('two_grids', icomm)
   call MPI_Comm_rank(icomm, irank, ierr)
   call MPI_Comm_size(icomm, isize, ierr)
   ja = irank * 12 / isize
   na = (irank + 1) * 12 / isize - ja
   jb = min(irank, isize - 1) * 9 / max(isize - 1, 1)
   nb = min(irank + 1, max(isize - 1, 1)) * 9 / max(isize - 1, 1) - jb
   call cpl_domain(20, 12, 0, ja, 20, na, 'closed', 'ocean')
   call cpl_var(ia, 'a', 'K', 'T', 1, cpl_out)
   call cpl_var(iasum, 'asum', 'K', 'T', 1, cpl_in)
   call cpl_domain(14, 9, 0, merge(jb, 0, nb > 0), merge(14, 0, nb > 0), nb, 'cyclic_ew', 'ice')
   call cpl_var(ib, 'b', 'K', 'T', 2, cpl_out)
   call cpl_var(ibsum, 'bsum', 'K', 'T', 2, cpl_in)
   call cpl_define(3600., 1, 6, 20000101, '360_day')
   allocate(a(20,na), asum(20,na), b(merge(14, 0, nb > 0),nb,2), bsum(merge(14, 0, nb > 0),nb,2))
   nwrong = 0
   do kt = 1, 6
      do jj = 1, na
         a(:,jj) = [(real(value(ji, ja + jj, kt)), ji = 1, 20)]
      end do
      do jj = 1, nb
         b(:,jj,1) = [(real(value(ji, jb + jj, kt)), ji = 1, 14)]
         b(:,jj,2) = -b(:,jj,1)
      end do
      call cpl_snd(ia, kt, a)
      call cpl_snd(ib, kt, b)
      call cpl_rcv(iasum, kt, asum)
      call cpl_rcv(ibsum, kt, bsum)
      do jj = 1, na
         do ji = 1, 20
            if (abs(asum(ji,jj) - five(ji, ja + jj, kt, 20, 12, .false.)) > 0.) nwrong = nwrong + 1
         end do
      end do
      do jj = 1, nb
         do ji = 1, 14
            if (abs(bsum(ji,jj,2) + five(ji, jb + jj, kt - mod(kt - 1, 2), 14, 9, .true.)) > 0.) nwrong = nwrong + 1
         end do
      end do
   end do
   call cpl_finalize()
   print '(a,i0,a,i0,a)', 'two_grids: rank ', irank, ' received ', nwrong, ' wrong values'
   call MPI_Finalize(ierr)
   if (nwrong > 0) stop 1

contains

   pure integer function value(ki, kj, kt)
      integer, intent(in) :: ki, kj, kt
      value = mod(7*ki + 3*kj*kj + kt, 16)
   end function value

   pure real function five(ki, kj, kt, kx, ky, ldcyclic)
      integer, intent(in) :: ki, kj, kt, kx, ky
      logical, intent(in) :: ldcyclic
      integer :: jn, ii, ij
      five = 0.
      do jn = 1, 5
         ii = ki + merge(1, 0, jn == 1) - merge(1, 0, jn == 2)
         ij = kj + merge(1, 0, jn == 3) - merge(1, 0, jn == 4)
         if (ldcyclic) ii = modulo(ii - 1, kx) + 1
         if (min(ii, ij) >= 1 .and. ii <= kx .and. ij <= ky) five = five + real(value(ii, ij, kt))
      end do
   end function five
end program two_grids
